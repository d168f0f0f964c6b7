-- Note heartbeats and tell which open rows now need a message.
-- KEYS: instances seen
-- ARGV: prefix of instance keys, ms after which an instance counts as offline, then pairs of instance id and facts (JSON)
--       and '1' or '' for hello, so triples
-- Returns a flat list: instance id, invocation id, instance id, invocation id …
local instances, seen = unpack(KEYS)
local prefix, offline_ms = ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local answer = {}
for index = 3, #ARGV, 3 do
    local instance, facts, hello = ARGV[index], ARGV[index + 1], ARGV[index + 2]
    local last = redis.call('ZSCORE', seen, instance)
    if not last then
        redis.call('HSETNX', instances, instance .. '@', now)
    end
    redis.call('HSET', instances, instance, facts)
    redis.call('ZADD', seen, now, instance)
    if hello == '1' or not last or now - tonumber(last) > offline_ms then
        for _, invocation in ipairs(redis.call('ZRANGE', prefix .. instance .. ':open', 0, -1)) do
            answer[#answer + 1] = instance
            answer[#answer + 1] = invocation
        end
    end
end
return answer

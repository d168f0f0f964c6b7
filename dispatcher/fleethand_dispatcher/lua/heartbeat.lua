-- Note heartbeats and tell which open rows now need a message. Such a row is looked at again soon: a host says only
-- once that it is back, and whoever asks here may die before the message is sent.
-- KEYS: instances seen watch
-- ARGV: prefix of instance keys, ms after which an instance counts as offline, ms until such a row is looked at, then
--       triples of instance id, facts (JSON) and '1' or '' for hello
-- Returns a flat list: instance id, invocation id, instance id, invocation id …
local instances, seen, watch = unpack(KEYS)
local prefix, offline_ms, again_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local answer = {}
for index = 4, #ARGV, 3 do
    local instance, facts, hello = ARGV[index], ARGV[index + 1], ARGV[index + 2]
    local last = redis.call('ZSCORE', seen, instance)
    if not last then
        redis.call('HSETNX', instances, instance .. '@', now)
    end
    redis.call('HSET', instances, instance, facts)
    redis.call('ZADD', seen, now, instance)
    if hello == '1' or not last or now - tonumber(last) > offline_ms then
        for _, invocation in ipairs(redis.call('ZRANGE', prefix .. instance .. ':open', 0, -1)) do
            redis.call('ZADD', watch, 'XX', 'LT', now + again_ms, invocation .. '|' .. instance)
            answer[#answer + 1] = instance
            answer[#answer + 1] = invocation
        end
    end
end
return answer

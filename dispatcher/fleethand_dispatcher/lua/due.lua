-- Hand out rows whose time to be looked at has come; each goes to one reaper, which has `claim_ms` to say what follows.
-- KEYS: watch
-- ARGV: prefix of invocation keys, how many at most, claim_ms
-- Returns now, then triples of invocation id, instance id and row (JSON); a watch entry without a row is dropped.
local watch = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local answer = { now }
for _, member in ipairs(redis.call('ZRANGEBYSCORE', watch, '-inf', now, 'LIMIT', 0, ARGV[2])) do
    local id, instance = string.match(member, '^([^|]*)|(.*)$')
    local row = redis.call('HGET', ARGV[1] .. id .. ':rows', instance)
    if row then
        redis.call('ZADD', watch, now + ARGV[3], member)
        answer[#answer + 1] = id
        answer[#answer + 1] = instance
        answer[#answer + 1] = row
    else
        redis.call('ZREM', watch, member)
    end
end
return answer

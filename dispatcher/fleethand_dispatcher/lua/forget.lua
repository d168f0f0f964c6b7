-- Remove an invocation and everything that hangs on it; not while an instance is unfinished, nor a schedule that lives.
-- KEYS: head rows targets outputs live events done tokens runs dues active invocations watch results all-runs
-- ARGV: invocation id, prefix of instance keys
-- Returns the number of rows removed, or -1.
local head, rows, targets, outputs, live, events, done, tokens, runs, dues, active, invocations, watch, results, all_runs =
    unpack(KEYS)
local id, prefix = ARGV[1], ARGV[2]
if tonumber(redis.call('HGET', head, 'unfinished') or '0') > 0 then return -1 end
if redis.call('HEXISTS', '@SCHEDULES@', id) == 1 then return -1 end
local count = redis.call('HLEN', rows)
for _, instance in ipairs(redis.call('LRANGE', targets, 0, -1)) do
    redis.call('ZREM', prefix .. instance .. ':invocations', id)
    redis.call('ZREM', prefix .. instance .. ':open', id)
    redis.call('ZREM', watch, id .. '|' .. instance)
end
redis.call('UNLINK', head, rows, targets, outputs, live, events, done, tokens, runs, dues, active)
redis.call('ZREM', invocations, id)
redis.call('ZREM', all_runs, id)
redis.call('DECRBY', results, count)
return count

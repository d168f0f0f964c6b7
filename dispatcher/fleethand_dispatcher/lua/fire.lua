-- Move due entries on to their next time and put what they fire into the outbox, all in one step.
-- KEYS: lease due outbox schedules held
-- ARGV: who holds the lease, its epoch, then per entry (JSON): {entry, id, zone, old: the score it was decided for,
--       next: when it is due again or false, act: the score for that, fired: runs among the occurrences, held: whether
--       a freeze holds it back, occurrences}
-- Returns how many entries were moved, -1 if the lease is not this beat's any more: what it decided is void.
local lease, due, outbox, schedules, holding = unpack(KEYS)
local held = redis.call('HMGET', lease, 'holder', 'epoch', 'until_ms')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] or tonumber(held[3] or 0) <= now then return -1 end
local moved = 0
for index = 3, #ARGV do
    local item = cjson.decode(ARGV[index])
    local head = '@INVOCATION_PREFIX@' .. item.id
    -- another score: it was changed meanwhile, and what was decided is about a time that is not its own any more
    if redis.call('EXISTS', head) == 0 then
        redis.call('ZREM', due, item.entry)
        redis.call('HDEL', schedules, item.id)
    elseif tonumber(redis.call('ZSCORE', due, item.entry) or -1) == item.old then
        redis.call(item.held and 'SADD' or 'SREM', holding, item.entry)
        if item.next then
            redis.call('ZADD', due, item.act, item.entry)
            redis.call('HSET', head, 'next:' .. item.zone, item.next)
        else
            redis.call('ZREM', due, item.entry)
            redis.call('HDEL', head, 'next:' .. item.zone)
            if #item.occurrences > 0 then redis.call('HSET', head, 'last:' .. item.zone, item.old) end
            local entries = redis.call('HINCRBY', head, 'entries', -1)
            if entries <= 0 and #item.occurrences == 0 and redis.call('HGET', head, 'unfinished') == '0' then
                redis.call('HDEL', schedules, item.id)
            end
        end
        if item.fired > 0 then redis.call('HINCRBY', head, 'fired:' .. item.zone, item.fired) end
        for _, occurrence in ipairs(item.occurrences) do
            redis.call('XADD', outbox, '*', 'o', occurrence)
        end
        moved = moved + 1
    end
end
return moved

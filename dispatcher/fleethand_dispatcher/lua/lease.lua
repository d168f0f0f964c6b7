-- Take or renew the lease on the beat: one beat works, the others are hot spares.
-- KEYS: the lease, a hash of holder, epoch, at_ms, until_ms
-- ARGV: who asks, for how many milliseconds; 0 gives the lease back
-- Returns {holder, epoch, at_ms, until_ms} as it is now. The epoch grows with every change of hands, so that what a
-- beat that was frozen still wants to do can be told from what the present one does.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'holder', 'epoch', 'at_ms', 'until_ms')
local holder, epoch, until_ms = held[1], tonumber(held[2] or 0), tonumber(held[4] or 0)
-- no lease is longer than the one that is asked for, so an end further away was written before the clock was put back
local is_held = until_ms > now and (tonumber(ARGV[2]) == 0 or until_ms - now <= tonumber(ARGV[2]))
if holder ~= ARGV[1] and is_held then return {holder, epoch, tonumber(held[3]), until_ms} end
if tonumber(ARGV[2]) == 0 then
    if holder == ARGV[1] then redis.call('HSET', KEYS[1], 'until_ms', now) end
    return {holder or '', epoch, tonumber(held[3] or 0), math.min(until_ms, now)}
end
if holder ~= ARGV[1] or until_ms <= now then epoch = epoch + 1 end
until_ms = now + ARGV[2]
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'epoch', epoch, 'at_ms', now, 'until_ms', until_ms)
return {ARGV[1], epoch, now, until_ms}

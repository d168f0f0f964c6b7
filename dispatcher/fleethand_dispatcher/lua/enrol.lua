-- Claim an enrolment that a host has proven, and count the use of its activation: once, and never one too many.
-- KEYS: enrolment, activation's counters, activations
-- ARGV: activation id, uses allowed, ms for which the claim holds
-- Returns {state, serial}: 'claimed' with the number of this use, 'answered' if it was carried out before,
-- 'busy' while another claim holds, 'used up', 'gone' if the enrolment or the activation is.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then return { 'gone', 0 } end
if redis.call('HEXISTS', KEYS[1], 'answer') == 1 then return { 'answered', 0 } end
local held = redis.call('HGET', KEYS[1], 'until')
if held and tonumber(held) > now then return { 'busy', 0 } end

local serial = tonumber(redis.call('HGET', KEYS[1], 'counted') or 0)
if serial == 0 then
    local used = tonumber(redis.call('HGET', KEYS[2], 'registered') or 0)
    if used >= tonumber(ARGV[2]) then return { 'used up', 0 } end
    serial = redis.call('HINCRBY', KEYS[2], 'registered', 1)
    redis.call('HSET', KEYS[1], 'counted', serial)
end
redis.call('HSET', KEYS[1], 'until', now + tonumber(ARGV[3]))
return { 'claimed', serial }

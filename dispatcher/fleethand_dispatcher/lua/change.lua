-- Change a living schedule in one step: what it is, when it is due, and who takes part.
-- KEYS: schedules due unfinished held
-- ARGV: schedule's id, its definition as it was read, the new one, its snapshot, entries (JSON, {time zone: {the time it
--       is due, the time to act}}), whether these replace those that there are (1 or 0; 0 adds what is not there),
--       row of an instance that joins (JSON), then instances that join: one that has a row keeps it
-- Returns 1 if it was changed, 0 if somebody else changed it meanwhile, -1 if it is over.
-- @include tables

local schedules, due, open_invocations, holding = unpack(KEYS)
local id, read, written, snapshot = unpack(ARGV, 1, 4)
local entries, replaces, fresh = cjson.decode(ARGV[5]), ARGV[6] == '1', ARGV[7]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- @include schedule

local schedule = schedule_of(id)
local found = redis.call('HGET', schedules, id)
if not found or tonumber(redis.call('HGET', schedule.head, 'entries') or 0) <= 0 then return -1 end
if found ~= read then return 0 end

local function entry_of(zone) return zone == '' and id or id .. '|' .. zone end

if replaces then
    for _, name in ipairs(redis.call('HKEYS', schedule.head)) do
        local zone = name:match('^next:(.*)$')
        if zone then
            redis.call('HDEL', schedule.head, name)
            redis.call('ZREM', due, entry_of(zone))
            redis.call('SREM', holding, entry_of(zone))
        end
    end
    redis.call('HSET', schedule.head, 'entries', 0)
end
for zone, times in pairs(entries) do
    if redis.call('HSETNX', schedule.head, 'next:' .. zone, times[1]) == 1 then
        redis.call('ZADD', due, times[2], entry_of(zone))
        redis.call('HINCRBY', schedule.head, 'entries', 1)
    end
end
redis.call('HSET', schedules, id, written)
redis.call('HSET', schedule.head, 'snapshot', snapshot)
for index = 8, #ARGV do
    if redis.call('HEXISTS', schedule.rows, ARGV[index]) == 0 then
        save(schedule, ARGV[index], join(schedule, ARGV[index], fresh))
    end
end
return 1

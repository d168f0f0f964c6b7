-- Add instances to a schedule whose targets are fixed; one that has a row keeps it.
-- KEYS: unfinished
-- ARGV: schedule's id, row of an instance that joins (JSON), then instances
-- Returns how many were added.
-- @include tables

local open_invocations = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- @include schedule

local schedule = schedule_of(ARGV[1])
local added = 0
for index = 3, #ARGV do
    if redis.call('HEXISTS', schedule.rows, ARGV[index]) == 0 then
        save(schedule, ARGV[index], join(schedule, ARGV[index], ARGV[2]))
        added = added + 1
    end
end
return added

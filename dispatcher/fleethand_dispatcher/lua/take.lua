-- Move reports to the list of one aggregator, where they stay until it has applied them, and note that it lives.
-- KEYS: reports, taken list, aggregators
-- ARGV: aggregator id, how many it may hold at most
-- Returns all that the aggregator now holds, oldest first.
local reports, taken, aggregators = unpack(KEYS)
local clock = redis.call('TIME')
redis.call('HSET', aggregators, ARGV[1], clock[1] * 1000 + math.floor(clock[2] / 1000))
local room = ARGV[2] - redis.call('LLEN', taken)
local more = room > 0 and redis.call('RPOP', reports, room)
if more then
    for _, report in ipairs(more) do redis.call('RPUSH', taken, report) end
end
return redis.call('LRANGE', taken, 0, -1)

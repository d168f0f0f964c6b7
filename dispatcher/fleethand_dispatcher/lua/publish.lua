-- Put one message into the queue of each instance; the queue is gone by itself when its last message is of no use.
-- ARGV: queue prefix, queue suffix, time to live of a queue in ms, '1' to skip queues that still hold something,
--       instance ids (JSON list), then the parts of the message that the instance id joins
-- Returns how many were published.
local prefix, suffix, ttl, only_empty = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local parts = {}
for index = 6, #ARGV do parts[#parts + 1] = ARGV[index] end
local published = 0
for _, instance in ipairs(cjson.decode(ARGV[5])) do
    local queue = prefix .. instance .. suffix
    if not only_empty or redis.call('LLEN', queue) == 0 then
        redis.call('LPUSH', queue, table.concat(parts, instance))
        if redis.call('PTTL', queue) < ttl then redis.call('PEXPIRE', queue, ttl) end
        published = published + 1
    end
end
return published

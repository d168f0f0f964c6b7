-- Put one message into the queue of each instance; the queue is gone by itself when its last message is of no use.
-- ARGV: queue prefix, queue suffix, time to live of a queue in ms, instance ids (JSON list), then the parts of the
--       message that the instance id joins
-- Returns how many were published.
local prefix, suffix, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local parts = {}
for index = 5, #ARGV do parts[#parts + 1] = ARGV[index] end
local published = 0
for _, instance in ipairs(cjson.decode(ARGV[4])) do
    local queue = prefix .. instance .. suffix
    redis.call('LPUSH', queue, table.concat(parts, instance))
    if redis.call('PTTL', queue) < ttl then redis.call('PEXPIRE', queue, ttl) end
    published = published + 1
end
return published

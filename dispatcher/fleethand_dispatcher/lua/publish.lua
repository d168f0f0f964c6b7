-- Put one message into the queue of each instance; the queue is gone by itself when its last message is of no use.
-- The tokens are read where they are kept, so that they come here once. An instance that has none gets no message.
-- KEYS: tokens
-- ARGV: queue prefix, queue suffix, time to live of a queue in ms, instance ids (JSON list), what follows the instance
--       id in the name of its token's field, a token that is everybody's or nothing, number of parts before the token,
--       then the parts of the message, which the instance id joins before the token and after it
-- Returns how many were published.
local prefix, suffix, ttl, mark, common = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5], ARGV[6]
local before, after = {}, {}
local cut = 7 + tonumber(ARGV[7])
for index = 8, cut do before[#before + 1] = ARGV[index] end
for index = cut + 1, #ARGV do after[#after + 1] = ARGV[index] end
local published = 0
for _, instance in ipairs(cjson.decode(ARGV[4])) do
    local token = common ~= '' and common or redis.call('HGET', KEYS[1], instance .. mark)
    if token then
        local queue = prefix .. instance .. suffix
        redis.call('LPUSH', queue, table.concat(before, instance) .. token .. table.concat(after, instance))
        if redis.call('PTTL', queue) < ttl then redis.call('PEXPIRE', queue, ttl) end
        published = published + 1
    end
end
return published

-- Put one message into the queue of each instance; the queue is gone by itself when its last message is of no use.
-- The tokens are read where they are kept, so that they come here once. An instance that has none gets no message.
-- KEYS: tokens
-- ARGV: queue prefix, queue suffix, time to live of a queue in ms, instance ids (JSON list), what follows the instance
--       id in the name of its token's field, a token that is everybody's or nothing, number of parts before the token,
--       then the parts of the message, which the instance id joins before the token and after it
-- Returns how many were published.
local prefix, suffix, ttl, mark, common = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5], ARGV[6]
local first, last_before = 8, 7 + tonumber(ARGV[7])

local instances = cjson.decode(ARGV[4])
local tokens = {}
if common == '' and #instances > 0 then
    local fields = {}
    for index, instance in ipairs(instances) do fields[index] = instance .. mark end
    tokens = redis.call('HMGET', KEYS[1], unpack(fields))
end

-- the whole message in pieces: a part, and what follows it, in turn
local pieces, places_of_instance, place_of_token = {}, {}, 0
for index = first, #ARGV do
    pieces[#pieces + 1] = ARGV[index]
    if index == last_before then
        place_of_token = #pieces + 1
    else
        places_of_instance[#places_of_instance + 1] = #pieces + 1
    end
    pieces[#pieces + 1] = ''
end

local published = 0
for index, instance in ipairs(instances) do
    local token = common ~= '' and common or tokens[index]
    if token then
        local queue = prefix .. instance .. suffix
        for _, place in ipairs(places_of_instance) do pieces[place] = instance end
        pieces[place_of_token] = token
        pieces[#pieces] = ''
        if redis.call('LPUSH', queue, table.concat(pieces)) == 1 or redis.call('PTTL', queue) < ttl then
            redis.call('PEXPIRE', queue, ttl)
        end
        published = published + 1
    end
end
return published

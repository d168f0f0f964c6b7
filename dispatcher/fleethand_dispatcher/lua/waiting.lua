-- Count the reports that no one has applied yet, but for those that the asking aggregator holds.
-- KEYS: reports, aggregators
-- ARGV: prefix of taken lists, the asking aggregator
local count = redis.call('LLEN', KEYS[1])
for _, id in ipairs(redis.call('HKEYS', KEYS[2])) do
    if id ~= ARGV[2] then count = count + redis.call('LLEN', ARGV[1] .. id) end
end
return count

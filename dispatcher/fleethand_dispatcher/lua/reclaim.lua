-- Put back what aggregators had taken that have not been heard of for `lease_ms`; it is applied again, which is harmless.
-- KEYS: reports, aggregators
-- ARGV: prefix of taken lists, lease_ms
-- Returns how many reports were put back.
local reports, aggregators = unpack(KEYS)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local back = 0
local known = redis.call('HGETALL', aggregators)
for index = 1, #known, 2 do
    if now - tonumber(known[index + 1]) > tonumber(ARGV[2]) then
        local taken = ARGV[1] .. known[index]
        while redis.call('LMOVE', taken, reports, 'RIGHT', 'RIGHT') do back = back + 1 end
        redis.call('HDEL', aggregators, known[index])
    end
end
return back

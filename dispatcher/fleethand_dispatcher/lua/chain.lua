-- Keep one more directive, unless one with this or a higher sequence is there: somebody else was faster.
-- KEYS: directives
-- ARGV: sequence, directive (JSON)
-- Returns 1 or 0.
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if last and tonumber(last) >= tonumber(ARGV[1]) then return 0 end
return redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])

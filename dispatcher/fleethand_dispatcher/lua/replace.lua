-- Replace a field of a hash if it still holds what was read: what was deleted meanwhile does not come back.
-- KEYS: hash [version]
-- ARGV: field, what was read, what to write
-- Returns 1 if it was replaced.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if KEYS[2] then redis.call('INCR', KEYS[2]) end
return 1

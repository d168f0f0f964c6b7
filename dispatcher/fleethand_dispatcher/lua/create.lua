-- Record an invocation and one row per target, all or nothing.
-- KEYS: head rows targets events done invocations watch results unfinished
-- ARGV: invocation id, head fields (JSON object), groups (JSON list of
--       {instances, row, watch_at or false, open, event or false}), id prefix of instance keys
-- Returns the number of rows, or -1 if it is recorded already: two callers with one client token make it once.
-- @include record

local head, rows, targets, events, done, invocations, watch, results, unfinished = unpack(KEYS)
if redis.call('EXISTS', head) == 1 then return -1 end
local k = { head = head, rows = rows, targets = targets, events = events, done = done, invocations = invocations,
    watch = watch, results = results, unfinished = unfinished }
return record(k, ARGV[1], cjson.decode(ARGV[2]), cjson.decode(ARGV[3]), ARGV[4], true)

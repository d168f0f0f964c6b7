-- Record an invocation and one row per target, all or nothing.
-- KEYS: head rows targets events done invocations watch results unfinished tokens
-- ARGV: invocation id, head fields (JSON object), groups (JSON list of
--       {instances, row, marks, watch_at or false, open, repeating, event or false}), id prefix of instance keys,
--       tokens (a line for each instance of the open groups, in their order; empty without a token)
-- *marks* has one for each instance of a group that has ended from the start, and is empty otherwise.
-- Returns the number of rows, or -1 if it is recorded already: two callers with one client token make it once.
-- @include record

local head, rows, targets, events, done, invocations, watch, results, unfinished, tokens = unpack(KEYS)
if redis.call('EXISTS', head) == 1 then return -1 end
local k = { head = head, rows = rows, targets = targets, events = events, done = done, invocations = invocations,
    watch = watch, results = results, unfinished = unfinished, tokens = tokens }
local groups = cjson.decode(ARGV[3])
return record(k, ARGV[1], cjson.decode(ARGV[2]), groups, ARGV[4], tokens_of(groups, ARGV[5]), true)

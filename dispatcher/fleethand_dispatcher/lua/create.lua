-- Record an invocation and one row per target, all or nothing.
-- KEYS: head rows targets events done invocations watch results unfinished tokens
-- ARGV: invocation id, head fields (JSON object), groups (JSON list of
--       {instances, row, marks, watch_at or false, open, event or false}), id prefix of instance keys,
--       tokens (lines, an instance id and its token in turn)
-- *marks* has one for each instance of a group that has ended from the start, and is empty otherwise.
-- Returns the number of rows, or -1 if it is recorded already: two callers with one client token make it once.
local head, rows, targets, events, done, invocations, watch, results, open_invocations, tokens = unpack(KEYS)
local id, prefix = ARGV[1], ARGV[4]
if redis.call('EXISTS', head) == 1 then return -1 end
local fields = cjson.decode(ARGV[2])
local groups = cjson.decode(ARGV[3])

for name, value in pairs(fields) do
    redis.call('HSET', head, name, value)
end
local created = fields.created_at
redis.call('ZADD', invocations, created, id)

local function with_mark(json, mark)
    return mark and json:sub(1, -2) .. ',"mark":"' .. mark .. '"}' or json
end

for instance, token in ARGV[5]:gmatch('([^\n]+)\n([^\n]+)\n') do
    redis.call('HSET', tokens, instance, token)
end

local total, unfinished = 0, 0
for _, group in ipairs(groups) do
    for number, instance in ipairs(group.instances) do
        local mark = group.marks[number]
        redis.call('HSET', rows, instance, with_mark(group.row, mark))
        redis.call('RPUSH', targets, instance)
        redis.call('ZADD', prefix .. instance .. ':invocations', created, id)
        if group.watch_at then
            redis.call('ZADD', watch, group.watch_at, id .. '|' .. instance)
        end
        if group.open then
            redis.call('ZADD', prefix .. instance .. ':open', created, id)
        end
        if group.event then
            redis.call('XADD', events, '*', 'i', instance, 'e', with_mark(group.event, mark))
        end
    end
    local count = #group.instances
    redis.call('HINCRBY', head, 'n:' .. group.status, count)
    total = total + count
    if group.open then
        unfinished = unfinished + count
    end
end
redis.call('HSET', head, 'total', total, 'unfinished', unfinished)
redis.call('INCRBY', results, total)
if unfinished == 0 then
    redis.call('HSET', head, 'finished_at', created)
    redis.call('XADD', done, '*', 'at', created)
else
    redis.call('ZADD', open_invocations, created, id)
end
return total

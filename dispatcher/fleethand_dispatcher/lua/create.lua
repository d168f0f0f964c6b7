-- Record an invocation and one row per target, all or nothing.
-- KEYS: head rows targets events done invocations watch results unfinished tokens
-- ARGV: invocation id, head fields (JSON object), groups (JSON list of
--       {instances, row, marks, watch_at or false, open, event or false}), id prefix of instance keys,
--       tokens (a line for each instance of the open groups, in their order; empty without a token)
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

-- A call costs as much as what it does, so what goes into one key goes there many at a time: so many arguments a call.
local MANY = 1000

local function flush(verb, key, arguments)
    if #arguments > 0 then redis.call(verb, key, unpack(arguments)) end
    return {}
end

local cursor = 1
local function next_token()
    local stop = ARGV[5]:find('\n', cursor, true)
    local token = ARGV[5]:sub(cursor, stop - 1)
    cursor = stop + 1
    return token
end

local total, unfinished = 0, 0
for _, group in ipairs(groups) do
    local count = #group.instances
    local of_rows, of_watch, of_tokens = {}, {}, {}
    for index, instance in ipairs(group.instances) do
        local place = #of_rows
        local mark = group.marks[index]
        of_rows[place + 1], of_rows[place + 2] = instance, with_mark(group.row, mark)
        redis.call('ZADD', prefix .. instance .. ':invocations', created, id)
        if group.watch_at then
            of_watch[place + 1], of_watch[place + 2] = group.watch_at, id .. '|' .. instance
        end
        if group.open then
            redis.call('ZADD', prefix .. instance .. ':open', created, id)
            local token = next_token()
            if token ~= '' then of_tokens[#of_tokens + 1], of_tokens[#of_tokens + 2] = instance, token end
        end
        if group.event then
            redis.call('XADD', events, '*', 'i', instance, 'e', with_mark(group.event, mark))
        end
        if #of_rows >= MANY or index == count then
            of_rows, of_watch = flush('HSET', rows, of_rows), flush('ZADD', watch, of_watch)
            of_tokens = flush('HSET', tokens, of_tokens)
        end
    end
    for first = 1, count, MANY do
        redis.call('RPUSH', targets, unpack(group.instances, first, math.min(first + MANY - 1, count)))
    end
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

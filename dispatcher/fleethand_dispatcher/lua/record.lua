-- Write the head and the rows of a new invocation. Included by create.lua and run.lua.

-- A call costs as much as what it does, so what goes into one key goes there many at a time: so many arguments a call.
local MANY = 1000

local function flush(verb, key, arguments)
    if #arguments > 0 then redis.call(verb, key, unpack(arguments)) end
    return {}
end

local function with_mark(json, mark)
    return mark and json:sub(1, -2) .. ',"mark":"' .. mark .. '"}' or json
end

-- Return the token of each instance that has one; *lines* has a line for each instance of the open groups.
local function tokens_of(groups, lines)
    local found, cursor = {}, 1
    for _, group in ipairs(groups) do
        for _, instance in ipairs(group.open and lines ~= '' and group.instances or {}) do
            local stop = lines:find('\n', cursor, true)
            if stop > cursor then found[instance] = lines:sub(cursor, stop - 1) end
            cursor = stop + 1
        end
    end
    return found
end

-- *k* holds the names of the keys, *listed* says whether it stands in the lists of invocations: a schedule's run does
-- not. Returns the number of rows.
local function record(k, id, fields, groups, prefix, token_of, listed)
    for name, value in pairs(fields) do
        redis.call('HSET', k.head, name, value)
    end
    local created = fields.created_at
    redis.call('ZADD', listed and k.invocations or k.all_runs, created, id)

    local total, unfinished = 0, 0
    for _, group in ipairs(groups) do
        local count = #group.instances
        local of_rows, of_watch, of_tokens = {}, {}, {}
        for index, instance in ipairs(group.instances) do
            local place = #of_rows
            local mark = group.marks[index]
            of_rows[place + 1], of_rows[place + 2] = instance, with_mark(group.row, mark)
            if listed then
                redis.call('ZADD', prefix .. instance .. ':invocations', created, id)
            end
            if group.watch_at then
                of_watch[place + 1], of_watch[place + 2] = group.watch_at, id .. '|' .. instance
            end
            if group.open and not group.repeating then
                redis.call('ZADD', prefix .. instance .. ':open', created, id)
            end
            if token_of[instance] then
                of_tokens[#of_tokens + 1], of_tokens[#of_tokens + 2] = instance, token_of[instance]
            end
            if group.event then
                redis.call('XADD', k.events, '*', 'i', instance, 'e', with_mark(group.event, mark))
            end
            if #of_rows >= MANY or index == count then
                of_rows, of_watch = flush('HSET', k.rows, of_rows), flush('ZADD', k.watch, of_watch)
                of_tokens = flush('HSET', k.tokens, of_tokens)
            end
        end
        for first = 1, count, MANY do
            redis.call('RPUSH', k.targets, unpack(group.instances, first, math.min(first + MANY - 1, count)))
        end
        redis.call('HINCRBY', k.head, 'n:' .. group.status, count)
        total = total + count
        if group.open then
            unfinished = unfinished + count
        end
    end
    redis.call('HSET', k.head, 'total', total, 'unfinished', unfinished)
    redis.call('INCRBY', k.results, total)
    if unfinished == 0 then
        redis.call('HSET', k.head, 'finished_at', created)
        redis.call('XADD', k.done, '*', 'at', created)
    else
        redis.call('ZADD', k.unfinished, created, id)
    end
    return total
end

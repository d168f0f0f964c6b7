-- Write the head and the rows of a new invocation. Included by create.lua and run.lua.
-- *k* holds the names of its keys, *listed* says whether it stands in the lists of invocations: a schedule's run does not.
-- Returns the number of rows.
local function record(k, id, fields, groups, prefix, listed)
    for name, value in pairs(fields) do
        redis.call('HSET', k.head, name, value)
    end
    local created = fields.created_at
    redis.call('ZADD', listed and k.invocations or k.all_runs, created, id)

    local total, unfinished = 0, 0
    for _, group in ipairs(groups) do
        for _, instance in ipairs(group.instances) do
            redis.call('HSET', k.rows, instance, group.row)
            redis.call('RPUSH', k.targets, instance)
            if listed then
                redis.call('ZADD', prefix .. instance .. ':invocations', created, id)
            end
            if group.watch_at then
                redis.call('ZADD', k.watch, group.watch_at, id .. '|' .. instance)
            end
            if group.open and not group.repeating then
                redis.call('ZADD', prefix .. instance .. ':open', created, id)
            end
            if group.event then
                redis.call('XADD', k.events, '*', 'i', instance, 'e', group.event)
            end
        end
        local count = #group.instances
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

-- What runs do to the rows of their schedule: every change of a schedule's row but a stop. Included by transition.lua
-- and run.lua, which have read the clock (`now`), named `open_invocations` and included `tables`.
local AFTER_LAST_RUN = cjson.decode([[@AFTER_LAST_RUN@]])
local AFTER_STOP = cjson.decode([[@AFTER_STOP@]])
local FAILED = cjson.decode([[@FAILED_KIND@]])
local SCHEDULE_EVENTS_MAX = 10000 -- a schedule may live for years
local FIRINGS, SCHEDULES, WATCH = '@FIRINGS@', '@SCHEDULES@', '@WATCH@'

-- The keys of a schedule, whose id stands in the head of its run.
local function schedule_of(id)
    local head = '@INVOCATION_PREFIX@' .. id
    return { id = id, head = head, rows = head .. ':rows', events = head .. ':events', done = head .. ':done',
        outputs = head .. ':outputs', active = head .. ':active' }
end

local function count_finished(of, was_terminal, is_terminal)
    if was_terminal == is_terminal then return end
    local unfinished = redis.call('HINCRBY', of.head, 'unfinished', is_terminal and -1 or 1)
    if is_terminal and unfinished == 0 then
        redis.call('HSET', of.head, 'finished_at', now)
        redis.call('XADD', of.done, '*', 'at', now)
        redis.call('ZREM', open_invocations, of.id)
        redis.call('EXPIRE', of.events, EVENTS_LIFE_S)
    elseif not is_terminal then
        redis.call('HDEL', of.head, 'finished_at')
        redis.call('PERSIST', of.events)
        redis.call('ZADD', open_invocations, now, of.id)
    end
end

-- The first step of a schedule's row stays, then the newest ones.
local function note(row, what, detail)
    if #row.steps >= STEPS_MAX then table.remove(row.steps, 2) end
    row.steps[#row.steps + 1] = { now, what, detail or '' }
end

local function tell(schedule, instance, row, event)
    event.kind, event.at, event.status, event.presumed = 'status', now, row.status, row.presumed
    event.error_code, event.error_info = row.error_code, row.error_info
    redis.call('XADD', schedule.events, 'MAXLEN', '~', SCHEDULE_EVENTS_MAX, '*', 'i', instance, 'e',
        cjson.encode(event), 'd', '')
    if TERMINAL[row.status] and redis.call('HGET', schedule.head, 'unfinished') == '0' then
        redis.call('EXPIRE', schedule.events, EVENTS_LIFE_S)
    end
end

-- Move a row of a schedule. *guessed*: what it is followed from a guess, which the host's own word replaces.
local function turn(schedule, instance, row, to, detail, guessed)
    local from = row.status
    if from == to then return end
    if not TRANSITIONS[from][to] and not (guessed and REPLACES_PRESUMED[to]) then return end
    row.status = to
    redis.call('HINCRBY', schedule.head, 'n:' .. from, -1)
    redis.call('HINCRBY', schedule.head, 'n:' .. to, 1)
    note(row, to, detail)
    if TERMINAL[to] then redis.call('ZREM', WATCH, schedule.id .. '|' .. instance) end
    count_finished(schedule, TERMINAL[from] == true, TERMINAL[to] == true)
end

-- A schedule without a next time and without an unfinished instance is history; its definition is not needed any more.
local function retire(schedule)
    local left = redis.call('HMGET', schedule.head, 'unfinished', 'entries')
    if left[1] == '0' and tonumber(left[2] or 0) <= 0 then redis.call('HDEL', SCHEDULES, schedule.id) end
end

-- No run is active on this instance: wait for the next one, or end.
local function settle(schedule, instance, row, guessed)
    local cycle = row.cycle
    local waits = cycle.queued and #cycle.queued > 0
    local to, detail = 'Scheduled', nil
    if row.status == 'Stopping' then
        to = AFTER_STOP[cycle.last or 'Stopped']
        if to == 'Stopped' and (row.repeats or 0) == 0 then to = 'Cancelled' end
    elseif cycle.over and not waits and cycle.last then
        to = AFTER_LAST_RUN[cycle.last]
    elseif cycle.over and not waits then
        local unrun = cycle.unrun or { 'Stopped', '', '' }
        to, row.error_code, row.error_info, detail = unrun[1], unrun[2], unrun[3], unrun[3]
    end
    if row.status == 'Running' then turn(schedule, instance, row, 'Scheduled') end
    turn(schedule, instance, row, to, detail, guessed)
    row.updated_at = now
end

local function save(schedule, instance, row) redis.call('HSET', schedule.rows, instance, cjson.encode(row)) end

-- Give an instance a row, or a new one in place of *again*, the row that ended when it was no target any more.
local function join(of, instance, fresh, again)
    local row = cjson.decode(fresh)
    redis.call('HINCRBY', of.head, 'n:Scheduled', 1)
    if again then
        redis.call('HINCRBY', of.head, 'n:' .. again.status, -1)
    else
        redis.call('HINCRBY', of.head, 'total', 1)
        redis.call('RPUSH', of.head .. ':targets', instance)
        redis.call('INCRBY', '@RESULTS@', 1)
        local since = redis.call('HGET', of.head, 'created_at')
        redis.call('ZADD', '@INSTANCE_PREFIX@' .. instance .. ':invocations', since, of.id)
    end
    note(row, 'joined', again and 'it is a target again' or 'it has become a target')
    count_finished(of, true, false)
    tell(of, instance, row, {})
    return row
end

-- How a run ended is what the schedule's row shows until the next one has.
local function show(row, run, run_id)
    row.started_at, row.finished_at, row.exit_code = run.started_at, run.finished_at, run.exit_code
    row.error_code, row.error_info, row.dropped = run.error_code, run.error_info, run.dropped
    row.presumed = run.presumed
    row.cycle.last, row.cycle.run = run.status, run_id
end

local function ended(schedule, instance, row, run, text, run_id)
    local guessed = row.presumed
    show(row, run, run_id)
    row.output = nil
    if text ~= '' then
        row.output = '@' .. instance -- one output per instance, or a schedule would keep all it ever printed
        redis.call('HSET', schedule.outputs, row.output, text)
    end
    if FAILED[run.status] and redis.call('HGET', schedule.head, 'stop_on_failure') == '1' then
        row.cycle.over = true
    end
    if (row.cycle.active or 0) == 0 then settle(schedule, instance, row, guessed) end
    local event = { run = run_id, digest = run.output, dropped = run.dropped }
    if run.output then event.shown, event.intact = 0, true end
    tell(schedule, instance, row, event)
end

-- A row of a run has changed: *before* is what it was, *text* the output that came with it.
local function tell_schedule(schedule, run_id, instance, before, run, text)
    local stored = redis.call('HGET', schedule.rows, instance)
    if not stored then return end
    local row = cjson.decode(stored)
    local cycle = row.cycle
    local was, is = TERMINAL[before.status] == true, TERMINAL[run.status] == true
    if was ~= is then cycle.active = math.max(0, (cycle.active or 0) + (is and -1 or 1)) end
    row.repeats = (row.repeats or 0) + (run.repeats or 0) - before.repeats
    row.updated_at = now
    if TERMINAL[row.status] and not row.presumed then
        save(schedule, instance, row)
        return
    end
    if run.status == 'Running' and before.status ~= 'Running' then
        row.started_at, row.finished_at, cycle.run = run.started_at, nil, run_id
        if row.status == 'Scheduled' or row.presumed then
            turn(schedule, instance, row, 'Running', nil, row.presumed)
            row.presumed = nil
            tell(schedule, instance, row, { run = run_id })
        end
    elseif is and before.status ~= run.status then
        ended(schedule, instance, row, run, text, run_id)
    end
    if is and not was and cycle.queued and #cycle.queued > 0 and row.status == 'Scheduled' then
        redis.call('XADD', FIRINGS, '*', 'o', table.remove(cycle.queued, 1))
    end
    if not cycle.queued or #cycle.queued == 0 then cycle.queued = nil end -- cjson would write {} for an empty list
    save(schedule, instance, row)
end

-- What runs do to the rows of their schedule: every change of a schedule's row but a stop. Included by transition.lua
-- and run.lua, which have read the clock (`now`), named `open_invocations` and included `tables`.
-- A schedule's row shows its last run with the mark that vouches for that run's ending; nothing here can make a mark.
local AFTER_LAST_RUN = cjson.decode([[@AFTER_LAST_RUN@]])
local AFTER_STOP = cjson.decode([[@AFTER_STOP@]])
local FAILED = cjson.decode([[@FAILED_KIND@]])
local SCHEDULE_EVENTS_MAX = 10000 -- a schedule may live for years
local FIRINGS, SCHEDULES, WATCH = '@FIRINGS@', '@SCHEDULES@', '@WATCH@'
local OF_AN_ENDING = { 'finished_at', 'exit_code', 'error_code', 'error_info', 'output', 'dropped', 'presumed', 'mark' }

-- The keys of a schedule, whose id is the beginning of its run's.
local function schedule_of(id)
    local head = '@INVOCATION_PREFIX@' .. id
    return { id = id, head = head, rows = head .. ':rows', events = head .. ':events', done = head .. ':done',
        active = head .. ':active' }
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

-- Tell what has become of a row. *run* is the run that has begun on it; without one, its last run is told with it.
local function tell(schedule, instance, row, run)
    local event = { kind = 'status', at = now, status = row.status, run = run }
    if not run then
        event.run, event.last = row.cycle.ran, row.cycle.last
        for _, name in ipairs(OF_AN_ENDING) do event[name] = row[name] end
    end
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
        to, row.error_code, row.error_info, row.finished_at, row.mark = unpack(cycle.unrun or { 'Stopped', '', '' })
        detail = row.error_info
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
    tell(of, instance, row)
    return row
end

-- How a run ended is what the schedule's row shows until the next one has.
local function show(row, run, run_id)
    row.started_at = run.started_at
    for _, name in ipairs(OF_AN_ENDING) do row[name] = run[name] end
    row.cycle.last, row.cycle.ran, row.cycle.run = run.status, run_id, run_id
end

-- What was shown was a guess that has turned out wrong.
local function forget(row)
    for _, name in ipairs(OF_AN_ENDING) do row[name] = nil end
    row.cycle.last, row.cycle.ran = nil, nil
end

local function ended(schedule, instance, row, run, run_id)
    local guessed = row.presumed
    show(row, run, run_id)
    if FAILED[run.status] and redis.call('HGET', schedule.head, 'stop_on_failure') == '1' then
        row.cycle.over = true
        if row.cycle.queued then note(row, 'skipped', 'a run failed, so what waited for its end does not begin') end
        row.cycle.queued = nil
    end
    if (row.cycle.active or 0) == 0 then settle(schedule, instance, row, guessed) end
    tell(schedule, instance, row)
end

-- Let the first of what waits on an instance begin if nothing is active there; tells whether one does.
local function begin_next(row)
    local cycle = row.cycle
    local begins = cycle.queued and #cycle.queued > 0 and row.status == 'Scheduled' and (cycle.active or 0) == 0
    if begins then
        redis.call('XADD', FIRINGS, '*', 'o', table.remove(cycle.queued, 1))
    end
    if not cycle.queued or #cycle.queued == 0 then cycle.queued = nil end -- cjson would write {} for an empty list
    return begins
end

-- A row of a run has changed: *before* is what it was.
local function tell_schedule(schedule, run_id, instance, before, run)
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
        local guessed = row.presumed
        if guessed or cycle.ran == run_id then forget(row) end
        row.started_at, cycle.run = run.started_at, run_id
        if row.status == 'Scheduled' or guessed then
            turn(schedule, instance, row, 'Running', nil, guessed)
            tell(schedule, instance, row, run_id)
        end
    elseif is and before.status ~= run.status then
        ended(schedule, instance, row, run, run_id)
    end
    if is and not was then begin_next(row) end
    save(schedule, instance, row)
end

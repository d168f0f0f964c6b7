-- Apply changes to rows of one invocation: check the from-state, set the new one, move the counters, append the event.
-- KEYS: head rows outputs live events done watch invoked unfinished tokens
-- ARGV: invocation id, prefix of instance keys, then pairs of change (JSON) and text (output, the token of a stop, or empty)
-- A change is {i = instance, kind = …} and what its kind needs, see below; times are ms on the server's clock.
-- Texts are sealed, so nothing here looks into them; `mark` vouches for what the change makes a row say of its end.
-- Returns one {old status, new status} per change; equal when nothing changed, {'', ''} when there is no such row.
-- @include tables
local LIVE_BYTES_MAX = 90000 -- sealed, so some 64 KB of text; a host stops far earlier, this bounds one that does not
local REFUSALS_MAX = 3 -- steps on copies that a host refused; forged ones must not crowd out the story

local head, rows, outputs, live, events, done, watch, invoked, open_invocations, tokens = unpack(KEYS)
local id, prefix = ARGV[1], ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- @include schedule

local own = { id = id, head = head, done = done, events = events }
local parent = id:match('^([^.]+)%.') -- the id of a run begins with its schedule's
local schedule = parent and schedule_of(parent)
local repeating = redis.call('HGET', head, 'repeating')

local function member(instance) return id .. '|' .. instance end

local function look_at(instance, at) redis.call('ZADD', watch, at, member(instance)) end

local function close(instance) redis.call('ZREM', prefix .. instance .. ':open', id) end

local function step(row, what, detail, at)
    if #row.steps < STEPS_MAX then
        row.steps[#row.steps + 1] = { at or now, what, detail or '' }
    end
end

local function append(instance, event, data)
    redis.call('XADD', events, '*', 'i', instance, 'e', cjson.encode(event), 'd', data)
end

local function allowed(row, to, by_host)
    if by_host and row.presumed and PRESUMABLE[row.status] then
        return REPLACES_PRESUMED[to]
    end
    return TRANSITIONS[row.status][to]
end

-- The only place where a status changes, but for what follows from it in a schedule's row (schedule.lua).
local function move(instance, row, to, change)
    local from = row.status
    if row.presumed then
        step(row, 'replaced', from .. ' was presumed; the host says ' .. to)
    end
    row.status, row.presumed = to, change.presumed
    row.error_code, row.error_info = change.error_code, change.error_info
    row.mark = TERMINAL[to] and change.mark or nil
    redis.call('HINCRBY', head, 'n:' .. from, -1)
    redis.call('HINCRBY', head, 'n:' .. to, 1)
    step(row, to, change.error_info, change.at)
    local event = { kind = 'status', at = now, status = to, error_code = row.error_code,
        error_info = row.error_info, presumed = row.presumed }
    if TERMINAL[to] then
        event.finished_at, event.exit_code, event.mark = row.finished_at, row.exit_code, row.mark
        event.output, event.dropped = row.output, row.dropped
    end
    append(instance, event, '')
    count_finished(own, TERMINAL[from] == true, TERMINAL[to] == true)
    if TERMINAL[to] then
        redis.call('ZREM', watch, member(instance))
        redis.call('HDEL', tokens, instance, instance .. '!') -- nothing is sent to it any more
        close(instance)
    end
end

local function taken_by_host(instance, row, at)
    row.accepted_at = row.accepted_at or at
    if row.status ~= 'Stopping' then close(instance) end
end

local apply = {}

-- The order was handed to the host's queue; look again at `watch_at`.
function apply.sent(instance, row, change)
    if TERMINAL[row.status] then return false end
    row.sent_count = row.sent_count + 1
    row.sent_at = now
    step(row, 'sent', change.detail)
    look_at(instance, change.watch_at)
    return true
end

-- The host has it in its journal; it needs no redelivery.
function apply.accepted(instance, row, change)
    if row.accepted_at or TERMINAL[row.status] then return false end
    taken_by_host(instance, row, change.at)
    step(row, 'accepted', nil, change.at)
    look_at(instance, change.watch_at)
    return true
end

function apply.started(instance, row, change)
    if row.started_at then return false end
    if row.status == 'Stopping' then
        taken_by_host(instance, row, change.at)
        row.started_at, row.repeats = change.at, 1
        step(row, 'started', 'while it was being stopped', change.at)
        return true
    end
    if not allowed(row, 'Running', true) then return false end
    taken_by_host(instance, row, change.at)
    row.started_at, row.repeats, row.finished_at = change.at, 1, nil
    move(instance, row, 'Running', change)
    look_at(instance, now + change.watch_after_ms)
    redis.call('HSET', invoked, instance, now)
    return true
end

-- A live piece of output; an offset not above the last one was seen before.
function apply.output(instance, row, change, text)
    if TERMINAL[row.status] and not row.presumed then return false end
    local seen = redis.call('HGET', live, instance .. '@')
    if seen and tonumber(seen) >= change.offset then return false end
    local before = redis.call('HGET', live, instance) or ''
    if #before + #text > LIVE_BYTES_MAX then return false end
    redis.call('HSET', live, instance .. '@', change.offset, instance, before .. text .. '\n')
    append(instance, { kind = 'output', at = now, status = row.status }, text)
    return false
end

function apply.finished(instance, row, change, text)
    if not allowed(row, change.to, true) then return false end
    -- a host that has forgotten what it ran refuses the order that asks for it; that it ran is the better knowledge
    if change.to == 'Aborted' and row.started_at then return false end
    if change.started_at and not row.started_at then step(row, 'Running', nil, change.started_at) end
    row.started_at = change.started_at or row.started_at
    if row.started_at then row.repeats = 1 end
    row.accepted_at = row.accepted_at or row.started_at
    row.finished_at, row.exit_code, row.dropped = change.at, change.exit_code, change.dropped
    if text ~= '' then
        row.output = change.digest
        redis.call('HSETNX', outputs, change.digest, text)
    end
    -- without a kept output, what went by live is the best that there is
    if text ~= '' then redis.call('HDEL', live, instance, instance .. '@') end
    redis.call('HSET', invoked, instance, now)
    move(instance, row, change.to, change)
    return true
end

-- The control plane's guess about a silent host; only from the state that it was made about.
function apply.presume(instance, row, change)
    if row.status ~= change.from or not allowed(row, change.to, false) then return false end
    row.finished_at = change.at
    move(instance, row, change.to, change)
    return true
end

-- A schedule's row keeps what it shows of its last run; one that never ran ends as the change says.
local function stop_schedule(instance, row, change)
    row.cycle.over, row.cycle.queued = true, nil
    if (row.cycle.active or 0) > 0 then -- the runs under way are stopped beside this, and what becomes of them decides
        turn(own, instance, row, 'Stopping')
        look_at(instance, now + change.watch_after_ms)
    else
        if not row.cycle.last then row.finished_at, row.mark = change.at, change.mark end
        turn(own, instance, row, (row.repeats or 0) == 0 and 'Cancelled' or 'Stopped')
    end
    tell(own, instance, row)
    retire(own)
end

-- A caller wants it stopped. What was never sent is withdrawn here and now; the rest is the host's to confirm, and
-- *token* is what makes it listen: the newest one counts, as its key may be the only one that is still trusted.
function apply.stop(instance, row, change, token)
    if TERMINAL[row.status] then return false end
    local is_asked = row.sent_count > 0 or row.status == 'Stopping'
    if is_asked and token ~= '' then redis.call('HSET', tokens, instance .. '!', token) end
    if row.status == 'Stopping' then return false end
    row.stop_at = now
    if repeating then
        stop_schedule(instance, row, change)
    elseif row.sent_count == 0 then
        row.finished_at = change.at
        move(instance, row, 'Cancelled', change)
    else
        move(instance, row, 'Stopping', change)
        look_at(instance, now + change.watch_after_ms)
        redis.call('ZADD', prefix .. instance .. ':open', now, id)
    end
    return true
end

-- Nothing new; look again later.
function apply.later(instance, row, change)
    if TERMINAL[row.status] then return false end
    look_at(instance, change.watch_at)
    if not change.detail then return false end
    step(row, 'asked again', change.detail)
    row.asked_count = (row.asked_count or 0) + 1
    return true
end

-- The host was handed something for this invocation that it did not trust; that says nothing about the order itself.
function apply.refused(instance, row, change)
    local before = 0
    for _, each in ipairs(row.steps) do
        if each[2] == 'refused' then before = before + 1 end
    end
    if before >= REFUSALS_MAX then return false end
    step(row, 'refused', change.detail)
    return true
end

local FOR_SCHEDULES = { stop = true, later = true } -- the rest is what hosts say, and they know only runs

local answer = {}
for index = 3, #ARGV, 2 do
    local change, text = cjson.decode(ARGV[index]), ARGV[index + 1]
    local stored = redis.call('HGET', rows, change.i)
    if stored and (not repeating or FOR_SCHEDULES[change.kind]) then
        local row = cjson.decode(stored)
        local old = row.status
        local before = { status = old, repeats = row.repeats or 0 }
        if apply[change.kind](change.i, row, change, text) then
            row.updated_at = now
            redis.call('HSET', rows, change.i, cjson.encode(row))
            if schedule then tell_schedule(schedule, id, change.i, before, row) end
        end
        answer[#answer + 1] = { old, row.status }
    else
        answer[#answer + 1] = { '', '' }
    end
end
if schedule then
    redis.call(redis.call('HGET', head, 'unfinished') == '0' and 'SREM' or 'SADD', schedule.active, id)
    retire(schedule)
end
return answer

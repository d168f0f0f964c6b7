-- Record one occurrence of a schedule: the run that it makes, and a row that says what became of it. Once per run id.
-- KEYS: the run's head rows targets events done tokens, the schedule's runs dues active, watch results unfinished all-runs
-- ARGV: run id, schedule's id, head fields of the run (JSON), groups (JSON, as in create.lua), prefix of instance keys,
--       occurrence (JSON, `occurrences.Occurrence`), how to record it (JSON), tokens (as in create.lua)
-- How to record it: {run: row of the list of runs, joining: row of an instance that joins or false, over: list of
--       instances or true or false, unrun: how those end that never ran, left: how instances end that are no targets any
--       more, queued: marks of the occurrence as it waits on one instance, keep: how many times}
-- *unrun* and *left* are {ending: {status, error code, text, time}, marks: {instance: the mark of that ending}}.
-- Returns {1 if it is recorded now, instances that take part, ids of runs that fell off the end of the list}.
-- @include tables
-- @include record

local run_head, run_rows, targets, events, done, tokens, runs, dues, active, watch, results, open_invocations, all_runs =
    unpack(KEYS)
local id, parent, prefix = ARGV[1], ARGV[2], ARGV[5]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- @include schedule

local schedule = schedule_of(parent)
if redis.call('EXISTS', schedule.head) == 0 then return { 0, {}, {} } end
local groups, occurrence, how = cjson.decode(ARGV[4]), cjson.decode(ARGV[6]), cjson.decode(ARGV[7])
-- A time that a freeze held back has a row already, which a run that makes up for it replaces, and so has one that was
-- overtaken on its host and waited once more. Whatever else is known makes no run; the last time of a schedule ends it
-- also then.
local stored_run = redis.call('HGET', runs, id)
local known = stored_run and cjson.decode(stored_run).outcome
local is_made_up = known == 'held back' and how.run.outcome == 'fired'
local has_waited = known == 'queued' and occurrence.only
local is_known = redis.call('EXISTS', run_head) == 1 or (known and not is_made_up and not has_waited)
if is_known and not how.over then return { 0, {}, {} } end
if is_known then groups = {} end
local token_of = tokens_of(groups, ARGV[8])
local skipped, queued = 0, 0

local function queue(row, instance)
    local mine = cjson.decode(ARGV[6])
    mine.only, mine.over, mine.mark = instance, false, how.queued[instance]
    row.cycle.queued = row.cycle.queued or {}
    table.insert(row.cycle.queued, occurrence.only and 1 or #row.cycle.queued + 1, cjson.encode(mine))
end

-- Let an instance take part, or note in its row why it does not.
local function admit(instance)
    local stored = redis.call('HGET', schedule.rows, instance)
    local row = stored and cjson.decode(stored)
    if not row or (row.cycle.left and TERMINAL[row.status]) then
        if not how.joining then return false end
        row = join(schedule, instance, how.joining, row)
    end
    local cycle = row.cycle
    if cycle.left then cycle.left, cycle.over = nil, nil end
    if TERMINAL[row.status] or row.status == 'Stopping' then return false end
    if cycle.over and not occurrence.only then return false end
    if (cycle.active or 0) > 0 and occurrence.overlap ~= 'parallel' then
        local waits = cycle.queued and #cycle.queued or 0
        if occurrence.overlap == 'all' or (occurrence.overlap == 'queue' and waits == 0) then
            queued = queued + 1
            queue(row, instance)
            note(row, 'queued', 'the run before is still active')
        else
            skipped = skipped + 1
            note(row, 'skipped', 'the run before is still active: ' .. (cycle.run or ''))
        end
        save(schedule, instance, row)
        return false
    end
    cycle.active, cycle.run = (cycle.active or 0) + 1, id
    note(row, 'fired', id)
    save(schedule, instance, row)
    return true
end

local admitted, out, kept = {}, {}, {}
for _, group in ipairs(groups) do
    local chosen, marks = {}, {}
    for index, instance in ipairs(group.instances) do
        if admit(instance) then
            chosen[#chosen + 1] = instance
            marks[#marks + 1] = group.marks[index]
            admitted[#admitted + 1] = instance
        else
            out[#out + 1] = instance
        end
    end
    if #chosen > 0 then
        group.instances, group.marks = chosen, marks
        kept[#kept + 1] = group
    end
end

if #admitted > 0 then
    local k = { head = run_head, rows = run_rows, targets = targets, events = events, done = done, watch = watch,
        results = results, unfinished = open_invocations, all_runs = all_runs, tokens = tokens }
    local fields = cjson.decode(ARGV[3])
    if #out > 0 then fields.left_out = table.concat(out, '\n') end -- the head's mark is of all that were meant
    record(k, id, fields, kept, prefix, token_of, false)
    redis.call('SADD', active, id)
end
for _, group in ipairs(kept) do
    if not group.open then -- hosts that nobody ever saw: their run has ended before it began
        for index, instance in ipairs(group.instances) do
            local run = cjson.decode(with_mark(group.row, group.marks[index]))
            tell_schedule(schedule, id, instance, { status = 'Pending', repeats = 0 }, run)
        end
    end
end
if redis.call('HGET', run_head, 'unfinished') == '0' then redis.call('SREM', active, id) end

local function finish(instance, unrun, left)
    local stored = redis.call('HGET', schedule.rows, instance)
    local row = stored and cjson.decode(stored)
    if not row or TERMINAL[row.status] then return end
    local status, code, info, at = unpack(unrun.ending)
    row.cycle.over, row.cycle.left, row.cycle.unrun = true, left, { status, code, info, at, unrun.marks[instance] }
    if left then
        note(row, 'left', 'it is no target any more')
        row.cycle.queued = nil
    end
    if (row.cycle.active or 0) == 0 then
        settle(schedule, instance, row)
        tell(schedule, instance, row)
    end
    save(schedule, instance, row)
end

-- What waited for this instance does not begin, and no end of a run will follow: go on without it.
local function pass_by(instance)
    local stored = redis.call('HGET', schedule.rows, instance)
    local row = stored and cjson.decode(stored)
    if not row or TERMINAL[row.status] or (row.cycle.active or 0) > 0 then return end
    if not begin_next(row) and row.cycle.over and row.cycle.last then
        settle(schedule, instance, row)
        tell(schedule, instance, row)
    end
    save(schedule, instance, row)
end

-- Whether no time is left to be carried out, in any zone; a host may have moved to one that has ended, or has no time.
local function is_over_everywhere()
    redis.call('HDEL', schedule.head, 'last:' .. (occurrence.zone or ''))
    if tonumber(redis.call('HGET', schedule.head, 'entries') or 0) > 0 then return false end
    for _, name in ipairs(redis.call('HKEYS', schedule.head)) do
        if name:find('last:', 1, true) == 1 then return false end
    end
    return true
end

for instance in pairs(how.left.marks) do finish(instance, how.left, true) end
if how.over then
    local all = is_over_everywhere() or how.over == true
    for _, instance in ipairs(all and redis.call('HKEYS', schedule.rows) or how.over) do
        finish(instance, how.unrun)
    end
end
if is_known then
    retire(schedule)
    return { 0, {}, {} }
end

local run = how.run
run.instances, run.skipped = #admitted, skipped
if run.outcome == 'fired' and #admitted == 0 then
    run.outcome = queued > 0 and 'queued' or 'skipped'
    if queued > 0 then
        run.reason = 'The run before was still active; this one begins when that has ended.'
    elseif skipped > 0 then
        run.reason = 'The run before was still active on every host.'
    else
        run.reason = 'No host takes part any more: each has failed, was stopped or has left.'
    end
end
if occurrence.only and #admitted == 0 then pass_by(occurrence.only) end
redis.call('HSET', runs, id, cjson.encode(run))
-- What is bounded are times: where runs wait for the ones before, one time is as many runs as hosts.
local times = 0
if redis.call('ZCOUNT', dues, run.due, run.due) == 0 then times = redis.call('HINCRBY', schedule.head, 'times', 1) end
redis.call('ZADD', dues, run.due, id)
local dropped = {}
while times > how.keep do
    local oldest = redis.call('ZRANGE', dues, 0, 0, 'WITHSCORES')[2]
    for _, old in ipairs(redis.call('ZRANGEBYSCORE', dues, oldest, oldest)) do
        dropped[#dropped + 1] = old
        redis.call('HDEL', runs, old)
    end
    redis.call('ZREMRANGEBYSCORE', dues, oldest, oldest)
    times = redis.call('HINCRBY', schedule.head, 'times', -1)
end
retire(schedule)
return { 1, admitted, dropped }

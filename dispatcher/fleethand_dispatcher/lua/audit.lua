-- Appends to the audit log if its end is still the one that the new entries were chained to.
-- KEYS: the log. ARGV: number and mark of that end, then of each new entry: number, body, mark.
-- Returns nothing when it appended, else the end: its number, body and mark, and the time in milliseconds.
-- The number is the highest that the log ever had, so that entries which were removed from the end leave a gap.
local sequence, body, mark = '0', '', ''
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then
      sequence = string.match(info[at + 1], '^%d+')
    elseif info[at] == 'last-entry' and info[at + 1] then
      local fields = info[at + 1][2]
      body, mark = fields[2], fields[4] or ''
    end
  end
end
if #ARGV == 0 or sequence ~= ARGV[1] or mark ~= ARGV[2] then
  local time = redis.call('TIME')
  return { sequence, body, mark, time[1] * 1000 + math.floor(time[2] / 1000) }
end
for at = 3, #ARGV, 3 do
  redis.call('XADD', KEYS[1], ARGV[at] .. '-0', 'body', ARGV[at + 1], 'mark', ARGV[at + 2])
end
return false

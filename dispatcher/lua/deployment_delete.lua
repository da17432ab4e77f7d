#!lua flags=allow-oom
-- Forgets a deployment; its schedules take back `future` runs, or none. Other waiting runs are kept and go on.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] deployment; ARGV[3] version expected; ARGV[4] what to take back
-- Returns: deleted taken_back:int
-- Returns: NOPOOL
-- Returns: CHANGED
-- Twice: changes nothing more
-- Cost: O(log N) for each run taken back, at most 100 a schedule
if not pool.exists then return { 'NOPOOL' } end
local deployment, taken_back = ARGV[2], 0
local before = call('HGET', DEPLOYMENTS, deployment)
if not before then return { 'deleted', 0 } end
local known = cjson.decode(before)
if ARGV[3] ~= (known.version or '') then return { 'CHANGED' } end
pass_time()
for _, schedule in ipairs(known.schedules or {}) do
  if ARGV[4] == 'future' then taken_back = taken_back + take_back(deployment, schedule.id, false) end
  call('DEL', schedule_key(deployment, schedule.id))
  call('ZREM', DUTIES, 'schedule:' .. deployment .. ':' .. schedule.id)
end
call('HDEL', DEPLOYMENTS, deployment)
event('deployment-deleted', 'name', deployment)
settle(1)
return { 'deleted', taken_back }

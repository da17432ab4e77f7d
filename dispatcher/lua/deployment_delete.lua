#!lua flags=allow-oom
-- Forgets a deployment; its schedules take back their runs of the future. Other waiting runs are kept and go on.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] deployment
-- Returns: deleted taken_back:int
-- Returns: NOPOOL
-- Twice: changes nothing more
-- Cost: O(log N) for each run taken back, at most 100 a schedule
if not pool.exists then return { 'NOPOOL' } end
local deployment, taken_back = ARGV[2], 0
local before = call('HGET', DEPLOYMENTS, deployment)
if not before then return { 'deleted', 0 } end
pass_time()
for _, schedule in ipairs(cjson.decode(before).schedules or {}) do
  taken_back = taken_back + take_back(deployment, schedule.id, false)
  call('DEL', schedule_key(deployment, schedule.id))
  call('ZREM', DUTIES, 'schedule:' .. deployment .. ':' .. schedule.id)
end
call('HDEL', DEPLOYMENTS, deployment)
event('deployment-deleted', 'name', deployment)
settle(1)
return { 'deleted', taken_back }

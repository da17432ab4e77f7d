#!lua flags=no-writes
-- How far schedules have come: what was decided last, when they are looked at next, what went wrong, and the nominal
-- times of the runs that they have made and that are not finished.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2...] per schedule: deployment, schedule
-- Returns: schedules now_ms:int row:list*
-- Returns: NOPOOL
-- Twice: reads
-- Cost: O(1) a schedule, and at most a hundred runs of each
if not pool.exists then return { 'NOPOOL' } end
local reply = { 'schedules', now }
for place_at = 2, #ARGV, 2 do
  local deployment, id = ARGV[place_at], ARGV[place_at + 1]
  local times = {}
  local runs = call('ZRANGE', schedule_key(deployment, id) .. ':runs', 0, -1, 'WITHSCORES')
  for run_at = 2, #runs, 2 do times[#times + 1] = runs[run_at] end
  reply[#reply + 1] = {
    call('HGETALL', schedule_key(deployment, id)), call('HGET', DEPLOYMENTS, deployment) or '',
    call('ZSCORE', DUTIES, 'schedule:' .. deployment .. ':' .. id) or '', times,
  }
end
return reply

#!lua
-- Takes waiting runs out of the pool, for another pool to adopt. What the other pool has adopted is forgotten; what it
-- has not stays here, in nobody's reach, until it has. Each going out has a number of its own, so that whoever is slow
-- cannot speak of a later one.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] deployment; ARGV[3] target pool; ARGV[4] number of adopted; ARGV[5...] adopted run:moves; then run...
-- Returns: moving run:list*
-- Returns: NOPOOL
-- Twice: answers the same
-- Cost: O(log N) a run, at most 100 and those that are moving
if not pool.exists then return { 'NOPOOL' } end
pass_time()
local deployment, last, is_leaving = ARGV[2], 4 + tonumber(ARGV[4]), false
for place_at = 5, last do
  local id, moves = string.match(ARGV[place_at], '^(%w+):(%d+)$')
  local run = call('ZSCORE', MOVING, id) and read_run(id)
  if run and run.moves == tonumber(moves) then
    call('ZREM', MOVING, id)
    erase(run)
  end
end
for place_at = last + 1, #ARGV do
  local run = read_run(ARGV[place_at])
  if run and run.state == 'SCHEDULED' and not call('ZSCORE', MOVING, run.id) then
    call('HSET', run_key(run.id), 'moving_to', ARGV[3], 'is_retry', unplace(run) and run.attempts > 0 and 1 or 0)
    call('HINCRBY', run_key(run.id), 'moves', 1)
    if run.schedule ~= '' then
      local key = schedule_key(run.deployment, run.schedule) .. ':runs'
      local nominal = call('ZSCORE', key, run.id)
      if nominal then call('HSET', run_key(run.id), 'nominal_ms', nominal) end -- else it was finished, and is retried
      call('ZREM', key, run.id)
    end
    if run.expires then call('ZREM', EXPIRING, run.id) end
    call('ZADD', MOVING, int(now), run.id)
    is_leaving = true
    run_event('moved-out', run.id, run.queue, 'SCHEDULED', '', run.epoch)
  end
end
-- who asks may be slow, and others have done with the duty: what leaves now is seen to when the caller ends here
if is_leaving then call('ZADD', DUTIES, 'NX', int(now + TAKEN_MS), 'move:' .. deployment) end
settle(1)
local reply = { 'moving' }
for _, id in ipairs(call('ZRANGE', MOVING, 0, -1)) do
  if call('HGET', run_key(id), 'deployment') == deployment then
    reply[#reply + 1] = { id, call('HGETALL', run_key(id)), call('GET', run_key(id) .. ':input') or '{}' }
  end
end
return reply

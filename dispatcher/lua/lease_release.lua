#!lua flags=allow-oom
-- Gives held runs back to their queues; no attempt is charged.
-- Moves: release PENDING RUNNING -> SCHEDULED
-- Moves: release CANCELLING -> CANCELLED
-- KEYS[1] pool: hash
-- ARGV[2] consumer; ARGV[3...] per run: run, epoch
-- Returns: released word:str*
-- Returns: NOPOOL
-- Twice: answers FENCED and changes nothing
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
local consumer, reply, released, hold_ms = ARGV[2], { 'released' }, 0, nil
for place_at = 3, #ARGV, 2 do
  local run, word = read_run(ARGV[place_at]), 'FENCED'
  if held_by(run, consumer, ARGV[place_at + 1]) then
    hold_ms = hold_ms or guard()
    released = released + 1
    unhold(run)
    call('HSET', run_key(run.id), 'releases', run.releases + 1)
    if run.state == 'CANCELLING' then
      conclude(run, 'released', 'CANCELLED', 'cancelled before it began')
      word = 'CANCELLED'
    else
      place(run, run.due)
      run_event('released', run.id, run.queue, 'SCHEDULED', consumer, run.epoch)
      word = 'SCHEDULED'
    end
  end
  reply[#reply + 1] = word
end
if released > 0 then
  catch_up(hold_ms)
  settle(released)
end
return reply

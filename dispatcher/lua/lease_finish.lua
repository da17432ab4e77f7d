#!lua flags=allow-oom
-- Ends attempts of held runs: for good, or to be made again after a delay.
-- Moves: finish PENDING RUNNING -> COMPLETED FAILED CRASHED SCHEDULED
-- Moves: finish CANCELLING -> CANCELLED
-- KEYS[1] pool: hash
-- ARGV[2] consumer; ARGV[3...] per run: run, epoch, state, retry delay ms or empty, message, exit code, result JSON
-- Returns: finished word:str*
-- Returns: NOPOOL
-- Twice: answers `already` and changes nothing
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
local ENDS = { COMPLETED = true, FAILED = true, CRASHED = true }
local consumer, reply = ARGV[2], { 'finished' }
local hold_ms

local function finish(run, state, delay_ms, message, code, result)
  unhold(run)
  call('HSET', run_key(run.id), 'attempts', run.attempts + 1, 'ended_epoch', run.epoch, 'exit_code', code)
  if result ~= '' then call('SET', run_key(run.id) .. ':result', result) end
  if run.state == 'CANCELLING' or not ENDS[state] then
    conclude(run, 'finished', 'CANCELLED', message)
    return 'CANCELLED'
  elseif delay_ms then
    call('HSET', run_key(run.id), 'message', message)
    place(run, now + delay_ms, true)
    run_event('retrying', run.id, run.queue, 'SCHEDULED', consumer, run.epoch)
    return 'SCHEDULED'
  end
  conclude(run, 'finished', state, message)
  return state
end

for place_at = 3, #ARGV, 7 do
  local run, epoch = read_run(ARGV[place_at]), tonumber(ARGV[place_at + 1])
  local word = 'FENCED'
  if held_by(run, consumer, epoch) and (ENDS[ARGV[place_at + 2]] or run.state == 'CANCELLING') then
    hold_ms = hold_ms or guard() -- the caller is alive: what it reports counts before its lease is looked at
    word = finish(run, ARGV[place_at + 2], tonumber(ARGV[place_at + 3]), ARGV[place_at + 4], ARGV[place_at + 5],
      ARGV[place_at + 6])
  elseif run and run.ended_epoch == epoch and run.consumer == consumer then
    word = 'already'
  end
  reply[#reply + 1] = word
end
if hold_ms then
  catch_up(hold_ms)
  settle(#reply - 1)
end
return reply

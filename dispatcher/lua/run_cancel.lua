#!lua flags=allow-oom
-- Cancels a run: a waiting one at once, a held one by asking its holder; force ends a held one here and now.
-- Moves: cancel SCHEDULED -> CANCELLED
-- Moves: cancel PENDING RUNNING -> CANCELLING
-- Moves: force PENDING RUNNING CANCELLING -> CANCELLED
-- KEYS[1] pool: hash
-- ARGV[2] run; ARGV[3] force
-- Returns: changed state:str
-- Returns: NOPOOL
-- Returns: NORUN
-- Returns: FINISHED state:str
-- Returns: MOVING
-- Twice: a held run answers CANCELLING again; a cancelled one FINISHED
-- Cost: O(log N)
if not pool.exists then return { 'NOPOOL' } end
local run = read_run(ARGV[2])
if not run then return { 'NORUN' } end
if not HELD[run.state] and run.state ~= 'SCHEDULED' then return { 'FINISHED', run.state } end
if call('ZSCORE', MOVING, ARGV[2]) then return { 'MOVING' } end
local hold_ms = guard() -- who asks is heard before anything ends by itself
if run.state == 'SCHEDULED' then
  cancel_waiting(run, 'cancelled while it waited')
elseif ARGV[3] == '1' then
  unhold(run)
  call('HSET', run_key(run.id), 'attempts', run.attempts + 1)
  conclude(run, 'cancelled', 'CANCELLED', 'cancelled by force; its process may have gone on for a moment')
  ring(run.consumer, 'control')
else
  ask_to_stop(run)
end
catch_up(hold_ms)
settle(1)
return { 'changed', call('HGET', run_key(run.id), 'state') or 'CANCELLED' } -- or trimmed by now

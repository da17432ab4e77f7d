#!lua
-- Puts a finished run back into its queue under the same id; its epoch goes on. Of a schedule's run: neither its expiry
-- nor earlier runs stop it any more, since a person asked for it.
-- Moves: retry COMPLETED FAILED CRASHED CANCELLED -> SCHEDULED
-- KEYS[1] pool: hash
-- ARGV[2] run
-- Returns: changed state:str
-- Returns: NOPOOL
-- Returns: DELETING
-- Returns: NORUN
-- Returns: UNFINISHED state:str
-- Twice: answers UNFINISHED
-- Cost: O(log N)
if not pool.exists then return { 'NOPOOL' } end
if pool.deleting then return { 'DELETING' } end
local run = read_run(ARGV[2])
if not run then return { 'NORUN' } end
if HELD[run.state] or run.state == 'SCHEDULED' then return { 'UNFINISHED', run.state } end
local hold_ms = guard()
call('ZREM', finished_key(run.state), run.id)
call('HDEL', run_key(run.id), 'ended_ms', 'started_ms', 'claimed_ms', 'consumer', 'pid', 'message', 'exit_code',
  'cancelling_ms', 'ended_epoch', 'overlap', 'expires_ms')
run.overlap, run.expires = '', nil
call('DEL', run_key(run.id) .. ':result')
call('HSET', run_key(run.id), 'crash_at', run.lost + MAX_LOST)
place(run, now)
run_event('retried', run.id, run.queue, 'SCHEDULED', '', run.epoch)
catch_up(hold_ms) -- only now: whatever ends by itself may have this very run trimmed
settle(1)
return { 'changed', 'SCHEDULED' }

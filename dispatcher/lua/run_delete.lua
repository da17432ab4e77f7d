#!lua flags=allow-oom
-- Removes a finished run with its input, result, log and idempotency key.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] run
-- Returns: removed
-- Returns: NOPOOL
-- Returns: NORUN
-- Returns: UNFINISHED state:str
-- Twice: answers NORUN
-- Cost: O(log N + log lines)
if not pool.exists then return { 'NOPOOL' } end
local run = read_run(ARGV[2])
if not run then return { 'NORUN' } end
if HELD[run.state] or run.state == 'SCHEDULED' then return { 'UNFINISHED', run.state } end
erase(run)
run_event('deleted', run.id, run.queue, run.state, run.consumer, run.epoch)
return { 'removed' }

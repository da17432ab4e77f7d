#!lua flags=allow-oom
-- Says that the process of a claimed run is alive. PENDING is the answer where nothing is to begin: the pool or the
-- queue was paused after the claim, which may have come early.
-- Moves: start PENDING -> RUNNING
-- KEYS[1] pool: hash
-- ARGV[2] consumer; ARGV[3] run; ARGV[4] epoch; ARGV[5] pid
-- ARGV[6] job JSON, as it is executed
-- Returns: started state:str
-- Returns: NOPOOL
-- Returns: FENCED
-- Twice: answers the same and changes nothing
-- Cost: O(1)
if not pool.exists then return { 'NOPOOL' } end
local consumer, id, epoch, pid = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local run = read_run(id)
if not held_by(run, consumer, epoch) then return { 'FENCED' } end
local is_paused = pool.paused or call('HGET', queue_key(run.queue), 'paused') == '1'
if run.state ~= 'PENDING' or is_paused then return { 'started', run.state } end
guard() -- but no reaping: it could take this very run after the answer was decided
call('HSET', run_key(id), 'state', 'RUNNING', 'started_ms', int(now), 'pid', pid)
if run.expires then -- it was started in time, whatever becomes of it
  call('HDEL', run_key(id), 'expires_ms')
  call('ZREM', EXPIRING, id)
end
if ARGV[6] ~= '' then call('SET', run_key(id) .. ':job', ARGV[6]) end
run_event('started', id, run.queue, 'RUNNING', consumer, epoch)
settle(1)
return { 'started', 'RUNNING' }

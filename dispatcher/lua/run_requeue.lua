#!lua flags=allow-oom
-- Moves waiting runs to another queue of the pool; those that wait no more, or are on their way to another pool, are
-- passed over.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] queue; ARGV[3...] run
-- Returns: requeued count:int
-- Returns: NOPOOL
-- Returns: NOQUEUE queue:str
-- Twice: changes nothing more
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
local queue, count = ARGV[2], 0
if not call('ZSCORE', QUEUES, queue) then return { 'NOQUEUE', queue } end
pass_time()
for place_at = 3, #ARGV do
  local run = read_run(ARGV[place_at])
  local is_waiting = run and run.state == 'SCHEDULED' and not call('ZSCORE', MOVING, run.id)
  if is_waiting and run.queue ~= queue then
    local is_retry = unplace(run)
    run.queue = queue
    place(run, run.due, is_retry)
    run_event('moved', run.id, queue, 'SCHEDULED', '', run.epoch)
    count = count + 1
  end
end
settle(math.max(1, math.min(count, 4)))
return { 'requeued', count }

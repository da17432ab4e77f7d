#!lua flags=allow-oom
-- Moves waiting runs of a deployment to its queue; those that wait no more, or are on their way to another pool, are
-- passed over. All of them are when the deployment has another queue by now: whoever gave it that moves them.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] deployment; ARGV[3] queue; ARGV[4...] run
-- Returns: requeued count:int
-- Returns: NOPOOL
-- Returns: NOQUEUE queue:str
-- Twice: changes nothing more
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
local queue, count, kept = ARGV[3], 0, call('HGET', DEPLOYMENTS, ARGV[2])
if not call('ZSCORE', QUEUES, queue) then return { 'NOQUEUE', queue } end
if not kept or cjson.decode(kept).queue ~= queue then return { 'requeued', 0 } end
pass_time()
for place_at = 4, #ARGV do
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

#!lua flags=allow-oom
-- Moves waiting runs of a queue to another one, or cancels them, at most so many.
-- Moves: drain SCHEDULED -> CANCELLED
-- KEYS[1] pool: hash
-- ARGV[2] queue; ARGV[3] target queue, empty: cancel; ARGV[4] most
-- Returns: drained count:int
-- Returns: NOPOOL
-- Returns: NOQUEUE queue:str
-- Returns: FILTERQUEUE queue:str
-- Twice: goes on with those that are left
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
local queue, target = ARGV[2], ARGV[3]
if not call('ZSCORE', QUEUES, queue) then return { 'NOQUEUE', queue } end
if target ~= '' and not call('ZSCORE', QUEUES, target) then return { 'NOQUEUE', target } end
if FILTERS[target] then return { 'FILTERQUEUE', target } end
pass_time()
local ids = waiting_runs(queue, tonumber(ARGV[4]))
for _, id in ipairs(ids) do
  local run = read_run(id)
  if target == '' then
    cancel_waiting(run, 'cancelled: its queue is being deleted')
  else
    local is_retry = unplace(run)
    run.queue = target
    place(run, run.due, is_retry)
    run_event('moved', id, target, 'SCHEDULED', '', run.epoch)
  end
end
settle(4)
return { 'drained', #ids }

#!lua flags=allow-oom
-- Moves waiting runs to another queue of the pool; those that wait no more are passed over. Those on
-- their way to another pool too, unless that pool is gone and they are to be put back.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] queue; ARGV[3] put back; ARGV[4...] run
-- Returns: requeued count:int
-- Returns: NOPOOL
-- Returns: NOQUEUE queue:str
-- Twice: changes nothing more
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
local queue, count = ARGV[2], 0
if not call('ZSCORE', QUEUES, queue) then return { 'NOQUEUE', queue } end
pass_time()
for place_at = 4, #ARGV do
  local run = read_run(ARGV[place_at])
  local is_moving = call('ZSCORE', MOVING, ARGV[place_at])
  local is_back = is_moving and ARGV[3] == '1'
  if run and run.state == 'SCHEDULED' and (is_back or (not is_moving and run.queue ~= queue)) then
    if is_back then call('ZREM', MOVING, run.id) end
    local is_retry = unplace(run) or (is_back and call('HGET', run_key(run.id), 'is_retry') == '1')
    run.queue = queue
    place(run, run.due, is_retry)
    run_event('moved', run.id, queue, 'SCHEDULED', '', run.epoch)
    count = count + 1
  end
end
settle(math.max(1, math.min(count, 4)))
return { 'requeued', count }

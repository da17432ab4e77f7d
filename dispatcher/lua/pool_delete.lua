#!lua flags=allow-oom
-- Deletes a pool in steps of at most 100 runs. From its first step on the pool takes and hands out nothing.
-- Moves: drain SCHEDULED -> CANCELLED
-- Moves: cancel PENDING RUNNING -> CANCELLING
-- KEYS[1] pool: hash
-- ARGV[2] whether unfinished runs may be cancelled
-- Returns: deleted cancelled:int left:int
-- Returns: stopping cancelled:int held:int
-- Returns: NOPOOL
-- Returns: POOLBUSY unfinished:int
-- Twice: goes on; once the pool is gone it answers NOPOOL
-- Cost: O(log N) for each of at most 100 waiting and all held runs; the last step O(queues + consumers)
if not pool.exists then return { 'NOPOOL' } end
local queues = call('ZRANGE', QUEUES, 0, -1)
local function count_waiting()
  local count = call('ZCARD', MOVING)
  for _, queue in ipairs(queues) do count = count + waiting_count(queue) end
  return count
end
local unfinished = count_waiting() + call('ZCARD', LEASES)
if ARGV[2] ~= '1' and not pool.deleting and unfinished > 0 then return { 'POOLBUSY', unfinished } end
pass_time()
local waiting, held = count_waiting(), call('ZRANGE', LEASES, 0, -1) -- only now: leases may just have been reaped
call('HSET', POOL, 'deleting', 1, 'paused', 1)
pool.paused = true
local leaving = call('ZRANGE', MOVING, 0, 99)
for _, id in ipairs(leaving) do
  call('ZREM', MOVING, id)
  cancel_waiting(read_run(id), 'cancelled: its pool is being deleted')
end
local drained, budget = #leaving, 100 - #leaving
for _, queue in ipairs(queues) do
  local ids = waiting_runs(queue, budget)
  for _, id in ipairs(ids) do cancel_waiting(read_run(id), 'cancelled: its pool is being deleted') end
  drained, budget = drained + #ids, budget - #ids
end
local cancelled = drained
for _, id in ipairs(held) do cancelled = cancelled + (ask_to_stop(read_run(id)) and 1 or 0) end
settle(1)
if waiting > drained then return { 'deleted', cancelled, 1 } end
if call('ZCARD', LEASES) > 0 then return { 'stopping', cancelled, call('ZCARD', LEASES) } end
local finished = call('ZRANGE', BY_START, 0, 99)
for _, id in ipairs(finished) do erase(read_run(id)) end
if call('EXISTS', BY_START) == 1 then return { 'deleted', cancelled, 1 } end
for _, consumer in ipairs(call('ZRANGE', CONSUMERS, 0, -1)) do
  forget(consumer)
  call('DEL', consumer_key(consumer))
end
for _, queue in ipairs(queues) do
  call('DEL', queue_key(queue), ready_key(queue), due_key(queue), retry_key(queue), slots_key(queue))
end
for _, name in ipairs(call('HKEYS', DEPLOYMENTS)) do
  for _, schedule in ipairs(cjson.decode(call('HGET', DEPLOYMENTS, name)).schedules or {}) do
    call('DEL', schedule_key(name, schedule.id))
  end
end
for _, group in ipairs(call('SMEMBERS', GROUPS)) do call('DEL', parked_key(group), woken_key(group)) end
call('DEL', POOL, STATE, QUEUES, LEASES, ADMISSIBLE, NEXT, EARLY, CONSUMERS, GROUPS, TIMERS, BY_START, EVENTS, DEPLOYMENTS,
  DUTIES, EXPIRING, MOVING)
return { 'deleted', cancelled, 0 }

#!lua flags=allow-oom
-- Deletes a queue in which nothing waits. Runs that hold its slots keep them until they end. Of a filter queue goes the
-- view; the runs that it shows stay where they are.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] queue
-- Returns: deleted
-- Returns: NOPOOL
-- Returns: NOQUEUE
-- Returns: DEFAULTQUEUE
-- Returns: QUEUEBUSY waiting:int
-- Twice: answers NOQUEUE
-- Cost: O(1); of a filter queue O(queues)
if not pool.exists then return { 'NOPOOL' } end
local queue = ARGV[2]
if queue == 'default' then return { 'DEFAULTQUEUE' } end
if not call('ZSCORE', QUEUES, queue) then return { 'NOQUEUE' } end
local waiting = waiting_count(queue)
if waiting > 0 then return { 'QUEUEBUSY', waiting } end
local hold_ms = guard()
call('ZREM', QUEUES, queue)
if FILTERS[queue] then
  set_filter(queue, nil)
  for _, home in ipairs(call('ZRANGE', QUEUES, 0, -1)) do
    for _, place_key in ipairs({ ready_key, due_key, retry_key }) do call('UNLINK', place_key(home .. '/' .. queue)) end
  end
  call('UNLINK', slots_key('/' .. queue))
end
call('DEL', queue_key(queue))
touch(queue)
event('queue-deleted', 'queue', queue)
catch_up(hold_ms) -- only now: a lease that has ended would put its run into the queue that was just found empty
settle(1)
return { 'deleted' }

#!lua flags=allow-oom
-- Deletes a queue in which nothing waits. Runs that hold its slots keep them until they end.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] queue
-- Returns: deleted
-- Returns: NOPOOL
-- Returns: NOQUEUE
-- Returns: DEFAULTQUEUE
-- Returns: QUEUEBUSY waiting:int
-- Twice: answers NOQUEUE
-- Cost: O(1)
if not pool.exists then return { 'NOPOOL' } end
local queue = ARGV[2]
if queue == 'default' then return { 'DEFAULTQUEUE' } end
if not call('ZSCORE', QUEUES, queue) then return { 'NOQUEUE' } end
local waiting = waiting_count(queue)
if waiting > 0 then return { 'QUEUEBUSY', waiting } end
pass_time()
call('ZREM', QUEUES, queue)
call('DEL', queue_key(queue))
touch(queue)
event('queue-deleted', 'queue', queue)
settle(1)
return { 'deleted' }

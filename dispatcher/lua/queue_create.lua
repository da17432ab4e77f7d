#!lua
-- Makes a queue. A priority that is taken goes to the newcomer; none given: the lowest free number.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] create or ensure; ARGV[3] queue; ARGV[4] id; ARGV[5] limit or empty; ARGV[6] priority or empty
-- ARGV[7] description; ARGV[8] paused
-- Returns: created priority:int is_new:int
-- Returns: NOPOOL
-- Returns: DELETING
-- Returns: QUEUEEXISTS
-- Twice: the same id answers created and changes nothing
-- Cost: O(queues) when numbers shift
if not pool.exists then return { 'NOPOOL' } end
if pool.deleting then return { 'DELETING' } end
local queue, id, limit, priority = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local known = call('ZSCORE', QUEUES, queue)
if known then
  if ARGV[2] == 'create' and call('HGET', queue_key(queue), 'id') ~= id then return { 'QUEUEEXISTS' } end
  return { 'created', tonumber(known), 0 }
end
pass_time()
call('HSET', queue_key(queue), 'id', id, 'paused', ARGV[8], 'description', ARGV[7], 'created_ms', int(now))
set_fields(queue_key(queue), { 'limit', limit })
priority = rank(queue, priority or lowest_free())
event('queue-created', 'queue', queue, 'priority', int(priority), 'limit', limit)
settle(4)
return { 'created', priority, 1 }

#!lua
-- Makes a pool with its queue `default`.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] id; ARGV[3] id of the queue; ARGV[4] type; ARGV[5] description; ARGV[6] limit or empty; ARGV[7] paused
-- ARGV[8] lease ms; ARGV[9] template JSON or empty; ARGV[10] template id or empty; ARGV[11] keep ms; ARGV[12] keep runs
-- Returns: created
-- Returns: POOLEXISTS
-- Twice: the same id answers created and changes nothing
-- Cost: O(1)
local id, queue_id, limit = ARGV[2], ARGV[3], ARGV[6]
if pool.exists == id then return { 'created' } end
if pool.exists then return { 'POOLEXISTS' } end
call('HSET', POOL, 'id', id, 'type', ARGV[4], 'description', ARGV[5], 'paused', ARGV[7], 'lease_ms', ARGV[8],
  'keep_ms', ARGV[11], 'keep_runs', ARGV[12],
  'created_ms', int(now), 'updated_ms', int(now))
if limit ~= '' then call('HSET', POOL, 'limit', limit) end
if ARGV[9] ~= '' then call('HSET', POOL, 'template', ARGV[9], 'template_id', ARGV[10]) end
call('HSET', STATE, 'last_ms', int(now))
call('ZADD', QUEUES, 1, 'default')
call('HSET', queue_key('default'), 'id', queue_id, 'paused', 0, 'description', '', 'created_ms', int(now),
  'updated_ms', int(now))
event('pool-created', 'type', ARGV[4], 'limit', limit)
return { 'created' }

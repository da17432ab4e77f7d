#!lua flags=allow-oom
-- Changes fields of a queue: limit (empty clears it), paused, note, description.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] queue; ARGV[3...] per change: field, value
-- Returns: set
-- Returns: NOPOOL
-- Returns: NOQUEUE
-- Twice: sets the same
-- Cost: O(1), and up to four wakes
if not pool.exists then return { 'NOPOOL' } end
local queue = ARGV[2]
if not call('ZSCORE', QUEUES, queue) then return { 'NOQUEUE' } end
pass_time()
set_fields(queue_key(queue), { unpack(ARGV, 3) }, function(name, value)
  event('queue-set', 'queue', queue, 'name', name, 'value', value)
end)
touch(queue)
settle(4)
return { 'set' }

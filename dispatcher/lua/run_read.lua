#!lua flags=no-writes
-- Runs with their fields, input, result and the row of their consumer; an unknown id has an empty row.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2...] run
-- Returns: runs now_ms:int row:list*
-- Returns: NOPOOL
-- Twice: reads
-- Cost: O(1) a run
if not pool.exists then return { 'NOPOOL' } end
local reply = { 'runs', now }
for place_at = 2, #ARGV do
  local id = ARGV[place_at]
  local consumer = call('HGET', run_key(id), 'consumer')
  reply[#reply + 1] = { id, call('HGETALL', run_key(id)), call('GET', run_key(id) .. ':input') or '',
    call('GET', run_key(id) .. ':result') or '', consumer and call('HGETALL', consumer_key(consumer)) or {} }
end
return reply

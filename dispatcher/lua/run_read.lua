#!lua flags=no-writes
-- Runs with their fields, the row of their consumer and, if whole, input, job and result, which can be large.
-- An unknown id has an empty row.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] whole; ARGV[3...] run
-- Returns: runs now_ms:int row:list*
-- Returns: NOPOOL
-- Twice: reads
-- Cost: O(1) a run
if not pool.exists then return { 'NOPOOL' } end
local reply = { 'runs', now }
for place_at = 3, #ARGV do
  local id = ARGV[place_at]
  local consumer = call('HGET', run_key(id), 'consumer')
  local input, result, job = '', '', ''
  if ARGV[2] == '1' then
    input, result = call('GET', run_key(id) .. ':input') or '', call('GET', run_key(id) .. ':result') or ''
    job = call('GET', run_key(id) .. ':job') or ''
  end
  local holder = consumer and call('HGETALL', consumer_key(consumer)) or {}
  reply[#reply + 1] = { id, call('HGETALL', run_key(id)), input, result, holder, job }
end
return reply

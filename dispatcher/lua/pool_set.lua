#!lua flags=allow-oom
-- Changes fields of the pool: limit (empty clears it), paused, note, description, lease_ms, keep_ms, keep_runs,
-- template and template_id.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2...] per change: field, value
-- Returns: set
-- Returns: NOPOOL
-- Twice: sets the same
-- Cost: O(1), and up to four wakes
if not pool.exists then return { 'NOPOOL' } end
pass_time()
set_fields(POOL, { unpack(ARGV, 2) }, function(name, value)
  if name ~= 'template' then event('pool-set', 'name', name, 'value', value) end -- which can be large; its id tells
end)
for place_at = 2, #ARGV, 2 do
  if ARGV[place_at] == 'limit' then pool.limit = tonumber(ARGV[place_at + 1]) end
  if ARGV[place_at] == 'paused' then pool.paused = ARGV[place_at + 1] == '1' or pool.deleting end
end
settle(4)
return { 'set' }

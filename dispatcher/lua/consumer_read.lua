#!lua flags=no-writes
-- Every consumer of the pool with its row, how much it holds, and until when it counts as online.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV: none
-- Returns: consumers now_ms:int row:list*
-- Returns: NOPOOL
-- Twice: reads
-- Cost: O(consumers)
if not pool.exists then return { 'NOPOOL' } end
local reply = { 'consumers', now }
local all = call('ZRANGE', CONSUMERS, 0, -1, 'WITHSCORES')
for place_at = 1, #all, 2 do
  local row = call('HGETALL', consumer_key(all[place_at]))
  row[#row + 1], row[#row + 2] = 'running', int(call('SCARD', holdings_key(all[place_at])))
  row[#row + 1], row[#row + 2] = 'seen_until_ms', all[place_at + 1]
  reply[#reply + 1] = { all[place_at], row }
end
return reply

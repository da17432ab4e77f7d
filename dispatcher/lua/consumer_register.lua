#!lua flags=allow-oom
-- A consumer joins the pool; what its dead predecessors held waits again at once.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] consumer; ARGV[3] number of fields; ARGV[4...] per field: name, value; then predecessor...
-- Returns: registered lease_ms:int returned:int
-- Returns: NOPOOL
-- Returns: POOLTYPE type:str
-- Twice: writes the same row
-- Cost: O(runs held by the predecessors)
if not pool.exists then return { 'NOPOOL' } end
local consumer, last = ARGV[2], 3 + 2 * tonumber(ARGV[3])
local row = { unpack(ARGV, 4, last) }
for place_at = 1, #row, 2 do
  if row[place_at] == 'type' and row[place_at + 1] ~= pool.type then return { 'POOLTYPE', pool.type } end
end
pass_time()
call('HSET', consumer_key(consumer), unpack(row))
call('PERSIST', consumer_key(consumer))
local returned = 0
for place_at = last + 1, #ARGV do
  returned = returned + forget(ARGV[place_at], 'its consumer died and has started again')
end
for _, old in ipairs(call('ZRANGE', CONSUMERS, '-inf', int(now - 86400000), 'BYSCORE', 'LIMIT', 0, 16)) do
  if call('EXISTS', holdings_key(old)) == 0 then forget(old) end
end
if not call('ZSCORE', CONSUMERS, consumer) then event('joined', 'consumer', consumer) end
seen(consumer)
settle(4)
return { 'registered', pool.lease_ms, returned }

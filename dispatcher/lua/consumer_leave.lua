#!lua flags=allow-oom
-- A consumer leaves the pool for good; runs that it still holds wait again.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] consumer
-- Returns: left returned:int
-- Returns: NOPOOL
-- Twice: changes nothing
-- Cost: O(runs held)
if not pool.exists then return { 'NOPOOL' } end
if not call('ZSCORE', CONSUMERS, ARGV[2]) then return { 'left', 0 } end
guard()
local returned = forget(ARGV[2], 'its consumer left')
event('left', 'consumer', ARGV[2])
promote(64)
settle(4)
return { 'left', returned }

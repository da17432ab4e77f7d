#!lua flags=allow-oom
-- Lets time pass: promotes due runs, reaps expired leases, fills new filters, wakes who can go on.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV: none
-- Returns: ticked more:int
-- Returns: NOPOOL
-- Twice: does what is left to do
-- Cost: O(log N) for each of at most 180 runs
if not pool.exists then return { 'NOPOOL' } end
pass_time()
settle(4)
local function is_past(ms) return ms ~= nil and tonumber(ms) <= now end
local more = filling or is_past(call('ZRANGE', EXPIRING, 0, 0, 'WITHSCORES')[2])
  or is_past(call('ZRANGE', NEXT, 0, 0, 'WITHSCORES')[2]) or is_past(reapable_ms())
return { 'ticked', more and 1 or 0 }

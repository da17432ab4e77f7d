#!lua flags=allow-oom
-- The heartbeat: renews the leases of the runs that the consumer holds and tells what became of them.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] consumer; ARGV[3...] per run: run, epoch
-- Returns: renewed lease_ms:int lost:list cancelling:list duties:list
-- Returns: NOPOOL
-- Returns: UNKNOWN
-- Twice: renews again
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
local consumer, lost, cancelling = ARGV[2], {}, {}
if not call('ZSCORE', CONSUMERS, consumer) then return { 'UNKNOWN' } end
local hold_ms = guard()
for place_at = 3, #ARGV, 2 do
  local id = ARGV[place_at]
  local found = call('HMGET', run_key(id), 'state', 'consumer', 'epoch')
  if HELD[found[1]] and found[2] == consumer and found[3] == ARGV[place_at + 1] then
    call('ZADD', LEASES, int(now + pool.lease_ms), id)
    if found[1] == 'CANCELLING' then table.insert(cancelling, { id, ARGV[place_at + 1] }) end
  else
    table.insert(lost, { id, ARGV[place_at + 1] })
  end
end
seen(consumer)
catch_up(hold_ms)
for _, state in ipairs({ 'COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED' }) do trim(state, 8) end
local duties = take_duties(20)
settle(1)
return { 'renewed', pool.lease_ms, lost, cancelling, duties }

#!lua flags=no-writes
-- The pool, its queues by priority, and what is in them now.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV: none
-- Returns: pool fields:list queues:list
-- Returns: NOPOOL
-- Twice: reads
-- Cost: O(queues + held runs + online consumers)
if not pool.exists then return { 'NOPOOL' } end
local COUNTED = { 'scheduled', 'late', 'pending', 'running', 'cancelling' }
local held, selectors = {}, {}
for _, run in ipairs(call('ZRANGE', LEASES, 0, -1)) do
  local found = call('HMGET', run_key(run), 'queue', 'state')
  local of = held[found[1]] or {}
  local state = string.lower(found[2])
  of[state] = (of[state] or 0) + 1
  held[found[1]] = of
end
for _, consumer in ipairs(call('ZRANGE', CONSUMERS, '(' .. int(now), '+inf', 'BYSCORE')) do
  local _, selector = parts(call('HGET', consumer_key(consumer), 'group'))
  selectors[selector] = true
end

local function add(row, name, value) row[#row + 1], row[#row + 2] = name, value end

local function describe(row, counts, slots, served)
  for _, name in ipairs(COUNTED) do add(row, name, int(counts[name] or 0)) end
  add(row, 'slots_used', int(slots))
  add(row, 'served', served and '1' or '0')
  return row
end

local totals, rows = {}, {}
local queues = call('ZRANGE', QUEUES, 0, -1, 'WITHSCORES')
for place_at = 1, #queues, 2 do
  local queue = queues[place_at]
  local counts, served = held[queue] or {}, false
  held[queue] = nil
  counts.scheduled = waiting_count(queue)
  counts.late = late_count(queue)
  for selector in pairs(selectors) do served = served or serves(selector, queue) end
  for name, count in pairs(counts) do totals[name] = (totals[name] or 0) + count end
  local row = call('HGETALL', queue_key(queue))
  add(row, 'name', queue)
  add(row, 'priority', queues[place_at + 1])
  rows[#rows + 1] = describe(row, counts, call('ZCARD', slots_key(queue)), served)
end
for _, counts in pairs(held) do -- runs that still hold slots of queues which were deleted
  for name, count in pairs(counts) do totals[name] = (totals[name] or 0) + count end
end
return { 'pool', describe(call('HGETALL', POOL), totals, call('ZCARD', LEASES), next(selectors) ~= nil), rows }

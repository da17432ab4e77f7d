#!lua flags=no-writes
-- The pool, its queues by priority, and what is in them now.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV: none
-- Returns: pool fields:list queues:list
-- Returns: NOPOOL
-- Twice: reads
-- Cost: O(queues + held runs + online consumers), and O(queues) a filter
if not pool.exists then return { 'NOPOOL' } end
local COUNTED = { 'scheduled', 'late', 'pending', 'running', 'cancelling' }
local held, selectors = {}, {}
for _, run in ipairs(call('ZRANGE', LEASES, 0, -1)) do
  local found = call('HMGET', run_key(run), 'queue', 'state')
  local state, owners = string.lower(found[2]), { found[1] }
  for _, filter in ipairs(pool.filters and filters_of(run) or {}) do owners[#owners + 1] = '/' .. filter end
  for _, owner in ipairs(owners) do
    held[owner] = held[owner] or {}
    held[owner][state] = (held[owner][state] or 0) + 1
  end
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

local totals, rows, homes = {}, {}, {}
local function total(counts) for name, count in pairs(counts) do totals[name] = (totals[name] or 0) + count end end

local function count_waiting(counts, queue)
  counts.scheduled = (counts.scheduled or 0) + waiting_count(queue)
  counts.late = (counts.late or 0) + late_count(queue)
end

local queues = call('ZRANGE', QUEUES, 0, -1, 'WITHSCORES')
for place_at = 1, #queues, 2 do
  if waiting_count(queues[place_at]) > 0 then homes[#homes + 1] = queues[place_at] end
end
for place_at = 1, #queues, 2 do
  local queue = queues[place_at]
  local owner = (FILTERS[queue] and '/' or '') .. queue
  local counts, served = held[owner] or {}, false
  held[owner] = nil
  for selector in pairs(selectors) do served = served or serves(selector, queue) end
  if FILTERS[queue] then
    for _, home in ipairs(homes) do count_waiting(counts, home .. owner) end
  else
    count_waiting(counts, queue)
    total(counts)
  end
  local row = call('HGETALL', queue_key(queue))
  add(row, 'name', queue)
  add(row, 'priority', queues[place_at + 1])
  rows[#rows + 1] = describe(row, counts, call('ZCARD', slots_key(owner)), served)
end
for _, counts in pairs(held) do total(counts) end -- runs that still hold slots of queues which were deleted
return { 'pool', describe(call('HGETALL', POOL), totals, call('ZCARD', LEASES), next(selectors) ~= nil), rows }

#!lua flags=allow-oom
-- Compares the indexes of queues with what follows from the queues, and looks for consumers that sleep beside work;
-- asked to mend, it computes the indexes anew and wakes who can work.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] mend; ARGV[3] whether something was mended before
-- Returns: audited fault:list*
-- Returns: NOPOOL
-- Twice: finds what is left
-- Cost: O(queues + parked consumers)
if not pool.exists then return { 'NOPOOL' } end
mends = ARGV[2] == '1'
local names = {}
for _, index in ipairs({ QUEUES, ADMISSIBLE, NEXT, EARLY }) do
  for _, queue in ipairs(call('ZRANGE', index, 0, -1)) do names[queue] = true end
end

local function compare(queue, index, wanted)
  local found = call('ZSCORE', index, queue)
  if (found or '') == (wanted or '') then return end
  fault('index', queue, index, found or '', wanted or '')
  if mends then touch(queue) end
end

for queue in pairs(names) do
  local admissible, soonest, early = standing(queue)
  compare(queue, ADMISSIBLE, admissible)
  compare(queue, NEXT, soonest)
  compare(queue, EARLY, early)
end

local function is_online(consumer) return tonumber(call('ZSCORE', CONSUMERS, consumer) or 0) > now end

if not pool.paused and pool_free() > 0 then
  for _, group in ipairs(call('SMEMBERS', GROUPS)) do
    local _, selector = parts(group)
    if call('EXISTS', woken_key(group)) == 0 and matching(selector, ADMISSIBLE, 1)[1] then
      local asleep
      for _, consumer in ipairs(call('ZRANGE', parked_key(group), 0, -1)) do asleep = asleep or is_online(consumer) end
      if asleep then fault('asleep', group, parked_key(group)) end
    end
  end
end
if mends and (faults or ARGV[3] == '1') then settle(4) end
return { 'audited', reported() }

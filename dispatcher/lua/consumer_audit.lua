#!lua flags=allow-oom
-- Looks for faults in the list of consumers and in who waits to be woken; asked to mend, it takes out who does not
-- belong there.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] mend
-- Returns: audited fault:list*
-- Returns: NOPOOL
-- Twice: finds what is left
-- Cost: O(consumers)
if not pool.exists then return { 'NOPOOL' } end
mends = ARGV[2] == '1'
local waiting, parked = {}, {}

for _, consumer in ipairs(call('ZRANGE', CONSUMERS, 0, -1)) do
  local key = consumer_key(consumer)
  if check_type(key, 'hash') and not call('HGET', key, 'group') then
    fault('row', consumer, key)
    if mends then call('ZREM', CONSUMERS, consumer) end
  end
end

local function check_waiting(key, group)
  if not check_type(key, 'zset') then return end
  for _, consumer in ipairs(call('ZRANGE', key, 0, -1)) do
    local is_known = call('ZSCORE', CONSUMERS, consumer) and type_of(consumer_key(consumer)) == 'hash'
      and call('HGET', consumer_key(consumer), 'group') == group
    if is_known and not waiting[consumer] then
      waiting[consumer] = key
      if key == parked_key(group) then parked[consumer] = true end
    else
      fault(waiting[consumer] and 'twice' or 'stranger', consumer, key)
      if mends then call('ZREM', key, consumer) end
    end
  end
end

for _, group in ipairs(call('SMEMBERS', GROUPS)) do
  check_waiting(parked_key(group), group)
  check_waiting(woken_key(group), group)
end
for _, consumer in ipairs(call('ZRANGE', TIMERS, 0, -1)) do
  if not parked[consumer] then
    fault('awake', consumer, TIMERS)
    if mends then call('ZREM', TIMERS, consumer) end
  end
end
return { 'audited', reported() }

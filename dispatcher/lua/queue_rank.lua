#!lua flags=allow-oom
-- Gives queues new priorities, all or none; those that hold one of the numbers move up as far as needed.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2...] per queue: queue, priority
-- Returns: ranked
-- Returns: NOPOOL
-- Returns: NOQUEUE queue:str
-- Returns: COLLIDE
-- Twice: ranks the same
-- Cost: O(queues)
if not pool.exists then return { 'NOPOOL' } end
local taken, order, before = {}, {}, {}
for place_at = 2, #ARGV, 2 do
  local queue, priority = ARGV[place_at], tonumber(ARGV[place_at + 1])
  before[queue] = tonumber(call('ZSCORE', QUEUES, queue) or '')
  if not before[queue] then return { 'NOQUEUE', queue } end
  if taken[priority] then return { 'COLLIDE' } end
  taken[priority] = queue
  order[#order + 1] = priority
end
pass_time()
-- the moving ones leave their numbers first, and the lowest number is given first: so none of them is pushed by another
for _, priority in ipairs(order) do call('ZREM', QUEUES, taken[priority]) end
table.sort(order)
for _, priority in ipairs(order) do
  rank(taken[priority], priority)
  if before[taken[priority]] ~= priority then
    event('queue-set', 'queue', taken[priority], 'name', 'priority', 'value', int(priority))
  end
end
settle(4)
return { 'ranked' }

#!lua
-- Makes a queue. A priority that is taken goes to the newcomer; none given: the lowest free number. One with a filter
-- takes up what waits and is held in steps: this one and the next scripts'.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] create, ensure or home (ensure one that runs can be sent to); ARGV[3] queue; ARGV[4] id; ARGV[5] limit or empty; ARGV[6] priority or empty
-- ARGV[7] description; ARGV[8] paused; ARGV[9] filter JSON or empty
-- Returns: created priority:int is_new:int
-- Returns: NOPOOL
-- Returns: DELETING
-- Returns: QUEUEEXISTS
-- Returns: FILTERQUEUE queue:str
-- Returns: FILTERSFULL most:int
-- Twice: the same id answers created and changes nothing
-- Cost: O(queues) when numbers shift; with a filter, O(log N) for each of at most 100 runs
if not pool.exists then return { 'NOPOOL' } end
if pool.deleting then return { 'DELETING' } end
local queue, id, limit, priority, filter = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[9]
local known = call('ZSCORE', QUEUES, queue)
if known then
  if ARGV[2] == 'create' and call('HGET', queue_key(queue), 'id') ~= id then return { 'QUEUEEXISTS' } end
  if ARGV[2] == 'home' and FILTERS[queue] then return { 'FILTERQUEUE', queue } end
  return { 'created', tonumber(known), 0 }
end
local count = 0
for _ in pairs(FILTERS) do count = count + 1 end
if filter ~= '' and count >= MOST_FILTERS then return { 'FILTERSFULL', MOST_FILTERS } end
pass_time()
call('HSET', queue_key(queue), 'id', id, 'paused', ARGV[8], 'description', ARGV[7], 'created_ms', int(now))
set_fields(queue_key(queue), { 'limit', limit })
priority = rank(queue, priority or lowest_free())
event('queue-created', 'queue', queue, 'priority', int(priority), 'limit', limit)
if filter ~= '' then
  call('HSET', queue_key(queue), 'filter', filter, 'filling', 1)
  set_filter(queue, cjson.decode(filter))
  filling = fill('0 ')
end
settle(4)
return { 'created', priority, 1 }

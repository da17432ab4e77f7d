#!lua
-- Puts the next runs of a schedule into their queue and moves its cursor on; or keeps why that could not be done.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] deployment; ARGV[3] schedule; ARGV[4] digest; ARGV[5] cursor ms as read; ARGV[6] cursor ms from now on
-- ARGV[7] ms of the next look or empty: never; ARGV[8] fault or empty; ARGV[9] queue; ARGV[10] overlap or empty
-- ARGV[11] input JSON of each; ARGV[12...] per run: run, name, nominal ms, due ms, expires ms or empty
-- Returns: admitted count:int
-- Returns: overtaken
-- Returns: NOPOOL
-- Returns: DELETING
-- Returns: NOQUEUE queue:str
-- Twice: answers overtaken and changes nothing
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
if pool.deleting then return { 'DELETING' } end
local deployment, schedule = ARGV[2], ARGV[3]
local found = call('HMGET', schedule_key(deployment, schedule), 'digest', 'cursor_ms')
if found[1] ~= ARGV[4] or found[2] ~= ARGV[5] then return { 'overtaken' } end
if not call('ZSCORE', QUEUES, ARGV[9]) then return { 'NOQUEUE', ARGV[9] } end
pass_time()
local count, duty = 0, 'schedule:' .. deployment .. ':' .. schedule
for place_at = 12, #ARGV, 5 do
  local id, nominal = ARGV[place_at], ARGV[place_at + 2]
  if not is_made(deployment, schedule, nominal) and call('EXISTS', run_key(id)) == 0 then
    submit({ id = id, name = ARGV[place_at + 1], queue = ARGV[9], priority = PRIORITY,
      deployment = deployment, key = '', schedule = schedule, nominal = tonumber(nominal), overlap = ARGV[10],
      expires = tonumber(ARGV[place_at + 4]) }, tonumber(ARGV[place_at + 3]), ARGV[11])
    run_event('submitted', id, ARGV[9], 'SCHEDULED')
    count = count + 1
  end
end
call('HSET', schedule_key(deployment, schedule), 'cursor_ms', ARGV[6])
call('HDEL', schedule_key(deployment, schedule), 'fault', 'fault_ms')
if ARGV[8] ~= '' then call('HSET', schedule_key(deployment, schedule), 'fault', ARGV[8], 'fault_ms', int(now)) end
if ARGV[7] ~= '' then call('ZADD', DUTIES, ARGV[7], duty) else call('ZREM', DUTIES, duty) end
settle(math.max(1, math.min(count, 4)))
return { 'admitted', count }

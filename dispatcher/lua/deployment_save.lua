#!lua
-- Keeps a deployment and begins, goes on with or stops its schedules. One that is not named any more, or whose runs are
-- made of something else (another digest), takes back its runs of the future.
-- What stops takes back `all` its runs or `future` ones; or it is at `rest`, and keeps them and its cursor.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] deployment; ARGV[3] deployment JSON; ARGV[4] duty or empty: what is left to do if the caller does not
-- ARGV[5] version expected, or `any`
-- ARGV[6...] per schedule: schedule, digest or empty: stop, cursor ms or empty: now, what to take back
-- Returns: saved taken_back:int
-- Returns: NOPOOL
-- Returns: DELETING
-- Returns: CHANGED
-- Twice: changes nothing more
-- Cost: O(log N) for each run taken back, at most 100 a schedule
if not pool.exists then return { 'NOPOOL' } end
if pool.deleting then return { 'DELETING' } end
local deployment, taken_back, gone = ARGV[2], 0, {}
local before = call('HGET', DEPLOYMENTS, deployment)
local known = before and cjson.decode(before) or {}
if ARGV[5] ~= 'any' and ARGV[5] ~= (known.version or '') and before ~= ARGV[3] then return { 'CHANGED' } end
for _, schedule in ipairs(known.schedules or {}) do gone[schedule.id] = true end
pass_time()
call('HSET', DEPLOYMENTS, deployment, ARGV[3])

local function stop(id, which)
  if which == 'rest' then
    call('HDEL', schedule_key(deployment, id), 'digest', 'fault', 'fault_ms')
  else
    taken_back = taken_back + take_back(deployment, id, which == 'all')
    call('DEL', schedule_key(deployment, id))
  end
  call('ZREM', DUTIES, 'schedule:' .. deployment .. ':' .. id)
end

for place_at = 6, #ARGV, 4 do
  local id, digest, cursor = ARGV[place_at], ARGV[place_at + 1], ARGV[place_at + 2]
  gone[id] = nil
  local made_of = call('HGET', schedule_key(deployment, id), 'digest')
  if digest == '' then
    stop(id, ARGV[place_at + 3])
  elseif made_of ~= digest then
    if made_of then taken_back = taken_back + take_back(deployment, id, false) end
    call('HSET', schedule_key(deployment, id), 'digest', digest, 'cursor_ms', cursor ~= '' and cursor or int(now))
    call('HDEL', schedule_key(deployment, id), 'fault', 'fault_ms')
    call('ZADD', DUTIES, int(now), 'schedule:' .. deployment .. ':' .. id)
  end
end
for id in pairs(gone) do stop(id, 'future') end
if ARGV[4] ~= '' then call('ZADD', DUTIES, int(now + TAKEN_MS), ARGV[4]) end
if ARGV[3] ~= before then event('deployment-saved', 'name', deployment) end
settle(1)
return { 'saved', taken_back }

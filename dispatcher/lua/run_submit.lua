#!lua
-- Puts new runs into their queues, all or none. What was read of their deployment must still hold: a run of one that has
-- changed, gone to another pool or been deleted since would wait where nobody leads it on.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2...] per run: run, name, queue, priority, due ms or +delay ms, deployment, version or empty, key, input JSON
-- Returns: submitted run_and_is_new:any*
-- Returns: NOPOOL
-- Returns: DELETING
-- Returns: NOQUEUE queue:str
-- Returns: FILTERQUEUE queue:str
-- Returns: CHANGED deployment:str
-- Twice: a known run or idempotency key gives the first run's id and changes nothing
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
if pool.deleting then return { 'DELETING' } end
local reply, fresh, as_read = { 'submitted' }, 0, {}

-- The id by which this run is here already.
local function earlier(id, deployment, key)
  if call('EXISTS', run_key(id)) == 1 then return id end
  return key ~= '' and call('GET', base .. 'idempotency:' .. deployment .. ':' .. key)
end

local function is_as_read(deployment, version)
  local of = deployment .. ' ' .. version
  if as_read[of] == nil then
    local kept = cjson.decode(call('HGET', DEPLOYMENTS, deployment) or '{}')
    as_read[of] = version == '' or (kept.version == version and not kept.leaving)
  end
  return as_read[of]
end

for place_at = 2, #ARGV, 9 do
  local id, _, queue, _, _, deployment, version, key = unpack(ARGV, place_at, place_at + 7)
  if not call('ZSCORE', QUEUES, queue) then return { 'NOQUEUE', queue } end
  if FILTERS[queue] then return { 'FILTERQUEUE', queue } end
  if not is_as_read(deployment, version) and not earlier(id, deployment, key) then return { 'CHANGED', deployment } end
end
for place_at = 2, #ARGV, 9 do
  local id, name, queue, priority, due, deployment, _, key, input = unpack(ARGV, place_at, place_at + 8)
  local known = earlier(id, deployment, key)
  if not known then
    if fresh == 0 then pass_time() end
    fresh = fresh + 1
    local delay = string.match(due, '^%+(%d+)$')
    local run = { id = id, name = name, queue = queue, key = key, priority = tonumber(priority), deployment = deployment }
    submit(run, delay and now + tonumber(delay) or tonumber(due), input)
    run_event('submitted', id, run.queue, 'SCHEDULED')
  end
  reply[#reply + 1], reply[#reply + 2] = known or id, known and 0 or 1
end
if fresh > 0 then settle(math.min(fresh, 4)) end
return reply

#!lua
-- Puts new runs into their queues, all or none.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2...] per run: run, name, queue, priority, due ms or +delay ms, deployment, idempotency key, input JSON
-- Returns: submitted run_and_is_new:any*
-- Returns: NOPOOL
-- Returns: DELETING
-- Returns: NOQUEUE queue:str
-- Returns: FILTERQUEUE queue:str
-- Twice: a known run or idempotency key gives the first run's id and changes nothing
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
if pool.deleting then return { 'DELETING' } end
for place_at = 4, #ARGV, 8 do
  if not call('ZSCORE', QUEUES, ARGV[place_at]) then return { 'NOQUEUE', ARGV[place_at] } end
  if FILTERS[ARGV[place_at]] then return { 'FILTERQUEUE', ARGV[place_at] } end
end
local reply, fresh = { 'submitted' }, 0
for place_at = 2, #ARGV, 8 do
  local id, key = ARGV[place_at], ARGV[place_at + 6]
  local known = call('EXISTS', run_key(id)) == 1 and id
  if key ~= '' and not known then
    known = call('GET', base .. 'idempotency:' .. ARGV[place_at + 5] .. ':' .. key)
  end
  if not known then
    if fresh == 0 then pass_time() end
    fresh = fresh + 1
    local delay = string.match(ARGV[place_at + 4], '^%+(%d+)$')
    local run = { id = id, name = ARGV[place_at + 1], queue = ARGV[place_at + 2], key = key,
      priority = tonumber(ARGV[place_at + 3]), deployment = ARGV[place_at + 5] }
    submit(run, delay and now + tonumber(delay) or tonumber(ARGV[place_at + 4]), ARGV[place_at + 7])
    run_event('submitted', id, run.queue, 'SCHEDULED')
  end
  reply[#reply + 1], reply[#reply + 2] = known or id, known and 0 or 1
end
if fresh > 0 then settle(math.min(fresh, 4)) end
return reply

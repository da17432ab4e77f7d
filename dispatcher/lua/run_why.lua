#!lua flags=no-writes
-- Why a run is not running: every reason that holds now, decided with what the claim decides with.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] run
-- Returns: why reason:list*
-- Returns: NOPOOL
-- Returns: NORUN
-- Twice: reads
-- Cost: O(log N + queues of better priority + consumers), at most 10 holders
if not pool.exists then return { 'NOPOOL' } end
local run = read_run(ARGV[2])
if not run then return { 'NORUN' } end
local reply = { 'why' }
local function because(code, ...) reply[#reply + 1] = { code, { ... } } end
local function name_of(consumer) return call('HGET', consumer_key(consumer), 'name') or consumer end
local function since(field) return int(now - tonumber(call('HGET', run_key(run.id), field) or now)) end

if HELD[run.state] then
  local code, field = 'running', 'started_ms'
  if run.state == 'PENDING' then code, field = 'starting', 'claimed_ms' end
  if run.state == 'CANCELLING' then code, field = 'cancelling', 'cancelling_ms' end
  because(code, 'consumer', name_of(run.consumer), 'since_ms', since(field))
  return reply
elseif run.state ~= 'SCHEDULED' then
  because('finished', 'state', run.state)
  return reply
end

local function full(code, index, limit)
  because(code, 'used', int(call('ZCARD', index)), 'limit', int(limit))
  for _, id in ipairs(call('ZRANGE', index, 0, 9)) do
    local found = call('HMGET', run_key(id), 'name', 'consumer', 'claimed_ms')
    local held_ms = now - tonumber(found[3] or now)
    table.insert(reply[#reply], { id, found[1] or '', name_of(found[2] or ''), int(held_ms) })
  end
end

local queue = call('HMGET', queue_key(run.queue), 'limit', 'paused', 'note')
local limit = tonumber(queue[1] or '')
if call('ZSCORE', MOVING, run.id) then
  because('moving', 'goal', call('HGET', run_key(run.id), 'moving_to'))
  return reply
end
if run.due <= now and call('ZSCORE', retry_key(run.queue), run.id) then because('overlapping') end
if run.due > now then because('not-due', 'in_ms', int(run.due - now), 'attempts', int(run.attempts)) end
if pool.paused then because('pool-paused', 'note', pool.note) end
if queue[2] == '1' then because('queue-paused', 'note', queue[3] or '') end
if pool_free() <= 0 then full('pool-limit', LEASES, pool.limit) end
if limit and call('ZCARD', slots_key(run.queue)) >= limit then full('queue-limit', slots_key(run.queue), limit) end

local served, last, last_ms = false, '', 0
local consumers = call('ZRANGE', CONSUMERS, 0, -1, 'WITHSCORES')
for place_at = 1, #consumers, 2 do
  local found = call('HMGET', consumer_key(consumers[place_at]), 'group', 'name', 'host', 'seen_ms')
  local _, selector = parts(found[1])
  if serves(selector, run.queue) then
    if tonumber(consumers[place_at + 1]) > now then served = true end
    last, last_ms = found[2] .. ' on ' .. found[3], tonumber(found[4] or now)
  end
end
if not served then
  because('no-consumer', 'seen', last, 'seen_ago_ms', int(now - last_ms),
    'command', pool.type == 'agent' and 'agent start' or 'worker start')
end

local ahead = call('ZRANK', ready_key(run.queue), run.id) or 0
local better = call('ZRANGE', ADMISSIBLE, '-inf', '(' .. (call('ZSCORE', QUEUES, run.queue) or 'inf'), 'BYSCORE')
for _, other in ipairs(better) do ahead = ahead + math.min(call('ZCARD', ready_key(other)), queue_free(other)) end
if ahead > 0 and run.due <= now then because('behind', 'ahead', int(ahead)) end
if not reply[2] then because('next') end
return reply

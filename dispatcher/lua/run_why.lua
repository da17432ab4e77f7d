#!lua flags=no-writes
-- Why a run is not running: every reason that holds now, decided with what the claim decides with.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] run
-- Returns: why reason:list*
-- Returns: NOPOOL
-- Returns: NORUN
-- Twice: reads
-- Cost: O(log N + queues of better priority + consumers, and these for each filter), at most 10 holders a limit
if not pool.exists then return { 'NOPOOL' } end
local run, reply = read_run(ARGV[2]), { 'why' }
if not run then return { 'NORUN' } end
local function because(code, ...) reply[#reply + 1] = { code, { ... } } end
local function name_of(consumer) return call('HGET', consumer_key(consumer), 'name') or consumer end
local function held(code, field)
  local since_ms = now - tonumber(call('HGET', run_key(run.id), field) or now)
  because(code, 'consumer', name_of(run.consumer), 'since_ms', int(since_ms))
end

if run.state == 'PENDING' then held('starting', 'claimed_ms')
elseif run.state == 'RUNNING' then held('running', 'started_ms')
elseif run.state == 'CANCELLING' then held('cancelling', 'cancelling_ms')
elseif run.state ~= 'SCHEDULED' then because('finished', 'state', run.state)
elseif call('ZSCORE', MOVING, run.id) then because('moving', 'goal', call('HGET', run_key(run.id), 'moving_to')) end
if reply[2] and run.state ~= 'PENDING' then return reply end

local function full(code, index, limit, gate)
  because(code, 'used', int(call('ZCARD', index)), 'limit', int(limit), 'gate', gate or '')
  for _, id in ipairs(call('ZRANGE', index, 0, 9)) do
    local found = call('HMGET', run_key(id), 'name', 'consumer', 'claimed_ms')
    local held_ms = now - tonumber(found[3] or now)
    table.insert(reply[#reply], { id, found[1] or '', name_of(found[2] or ''), int(held_ms) })
  end
end

local function gate(paused, limited, queue, holders)
  local found = call('HMGET', queue_key(queue), 'paused', 'note', 'limit')
  local used = limited and found[3] and call('ZCARD', slots_key(holders))
  if found[1] == '1' then because(paused, 'gate', queue, 'note', found[2] or '') end
  if used and used >= tonumber(found[3]) then full(limited, slots_key(holders), found[3], queue) end
end

if run.due <= now and call('ZSCORE', retry_key(run.queue), run.id) then because('overlapping') end
if run.due > now then because('not-due', 'in_ms', int(run.due - now), 'attempts', int(run.attempts)) end
if pool.paused then because('pool-paused', 'note', pool.note) end
if run.state == 'PENDING' then gate('queue-paused', nil, run.queue) return reply end -- there it does not begin
if pool_free() <= 0 then full('pool-limit', LEASES, pool.limit) end
gate('queue-paused', 'queue-limit', run.queue, run.queue)

-- The door is the queue itself (''), or a filter that shows the run ('/<filter>') and is neither paused nor full.
local filters, door, closed, last, last_ms = pool.filters and filters_of(run.id) or {}, nil, {}, '', 0
local consumers = call('ZRANGE', CONSUMERS, 0, -1, 'WITHSCORES')
for place_at = 1, #consumers, 2 do
  local found = call('HMGET', consumer_key(consumers[place_at]), 'group', 'name', 'host', 'seen_ms')
  local _, selector = parts(found[1])
  local served, is_live = serves(selector, run.queue), tonumber(consumers[place_at + 1]) > now
  if served and is_live then door = '' end
  for _, filter in ipairs(filters) do
    local is_shown, is_open = serves(selector, filter), free_of('/' .. filter) > 0
    served = served or is_shown
    if is_shown and is_live and is_open then door = door or '/' .. filter end
    if is_shown and is_live and not is_open then closed[filter] = true end
  end
  if served then last, last_ms = found[2] .. ' on ' .. found[3], tonumber(found[4] or now) end
end
for filter in pairs(door and {} or closed) do gate('filter-paused', 'filter-limit', filter, '/' .. filter) end
if not door and not next(closed) then
  local command = pool.type == 'agent' and 'agent start' or 'worker start'
  because('no-consumer', 'seen', last, 'seen_ago_ms', int(now - last_ms), 'command', command)
end

door = door or next(closed) and '/' .. next(closed) or ''
local ahead = call('ZRANK', ready_key(run.queue .. door), run.id) or 0
local better = call('ZRANGE', ADMISSIBLE, '-inf', '(' .. (call('ZSCORE', QUEUES, run.queue) or 'inf'), 'BYSCORE')
for _, other in ipairs(better) do ahead = ahead + math.min(call('ZCARD', ready_key(other .. door)), free_of(other .. door)) end
if ahead > 0 and run.due <= now then because('behind', 'ahead', int(ahead)) end
if not reply[2] then because('next') end
return reply

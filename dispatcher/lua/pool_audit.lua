#!lua flags=allow-oom
-- Looks for faults in what a pool keeps of itself and its queues, and in single keys of it; asked to mend, it removes
-- what has the wrong type, lists the queues that are kept, and makes a missing one again, paused.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] mend; ARGV[3] id for a queue that is made again; ARGV[4...] key without the pool's part
-- Returns: audited fault:list*
-- Returns: NOPOOL
-- Twice: finds what is left
-- Cost: O(queues + duties), and O(1) a key
if not pool.exists then return { 'NOPOOL' } end
mends = ARGV[2] == '1'
local TYPES = { state = 'hash', deployments = 'hash', events = 'stream', groups = 'set' }
for _, part in ipairs({ 'queues', 'leases', 'admissible', 'next', 'early', 'consumers', 'timers', 'duties', 'expiring',
  'moving', 'runs:by-start' }) do TYPES[part] = 'zset' end
local is_sound = true
for part, kind in pairs(TYPES) do is_sound = check_type(base .. part, kind) and is_sound end
if not is_sound then return { 'audited', reported() } end -- nothing else can be read as what it is

local function enlist(queue)
  fault('unlisted', queue, QUEUES)
  if mends then rank(queue, lowest_free()) end
end

-- What lies below a name that is no index of runs.
local function check_key(part)
  local key = base .. '' .. part
  local noun, name = string.match(part, '^(%a+):(.*)$')
  if noun == 'queue' and check_type(key, 'hash') then
    if call('EXISTS', key) == 1 and not call('ZSCORE', QUEUES, name) then enlist(name) end
  elseif (noun == 'parked' or noun == 'woken') and check_type(key, 'zset') then
    if call('EXISTS', key) == 0 or call('SISMEMBER', GROUPS, name) == 1 then return end
    fault('unlisted', name, GROUPS)
    if mends then call('SADD', GROUPS, name) end
  elseif noun == 'consumer' and check_type(key, 'hash') then
    if call('PTTL', key) ~= -1 or call('ZSCORE', CONSUMERS, name) then return end
    fault('leftover', name, key)
    if mends then call('PEXPIRE', key, 604800000) end
  elseif noun == 'idempotency' and check_type(key, 'string') then
    local run = call('GET', key)
    if not run or call('EXISTS', run_key(run)) == 1 then return end
    fault('nobody', run, key)
    if mends then call('DEL', key) end
  end
end

for place_at = 4, #ARGV do check_key(ARGV[place_at]) end
if not call('ZSCORE', QUEUES, 'default') then enlist('default') end
local taken, made, queues = {}, 0, call('ZRANGE', QUEUES, 0, -1, 'WITHSCORES')
for place_at = 1, #queues, 2 do
  local queue, priority = queues[place_at], queues[place_at + 1]
  if taken[priority] then
    fault('priority', queue, QUEUES, priority, taken[priority])
    if mends then rank(queue, lowest_free()) end
  end
  taken[priority] = queue
  if check_type(queue_key(queue), 'hash') and not call('HGET', queue_key(queue), 'id') then
    fault('queue', queue, queue_key(queue))
    made = made + 1
    if mends then
      call('HSET', queue_key(queue), 'id', string.sub(ARGV[3], 1, -3) .. string.format('%02d', made % 100), 'paused', 1,
        'note', 'made again by repair: its limit is lost', 'created_ms', int(now), 'updated_ms', int(now))
    end
  end
  local filter = type_of(queue_key(queue)) == 'hash' and call('HGET', queue_key(queue), 'filter')
  if not filter ~= not FILTERS[queue] then
    fault('filter', queue, POOL)
    if mends then set_filter(queue, filter and cjson.decode(filter) or nil) end
  end
end
for _, duty in ipairs(call('ZRANGE', DUTIES, 0, -1)) do
  local schedule = string.match(duty, '^schedule:(.*)$')
  if schedule and call('EXISTS', base .. 'schedule:' .. schedule) == 0 then
    fault('nothing', duty, DUTIES)
    if mends then call('ZREM', DUTIES, duty) end
  end
end
return { 'audited', reported() }

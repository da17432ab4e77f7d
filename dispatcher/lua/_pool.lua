-- Fragment: binds the keys of the pool, the clock and small conversions. Writes nothing.
-- Uses: KEYS[1] the pool's hash, which also names the cluster slot; ARGV[1] the clock in ms, empty: the server's.
local call = redis.call
local POOL = KEYS[1]
local base = string.sub(POOL, 1, -5)
local STATE, QUEUES, LEASES = base .. 'state', base .. 'queues', base .. 'leases'
local ADMISSIBLE, NEXT, EARLY = base .. 'admissible', base .. 'next', base .. 'early'
local CONSUMERS, GROUPS, TIMERS = base .. 'consumers', base .. 'groups', base .. 'timers'
local BY_START, EVENTS, DEPLOYMENTS = base .. 'runs:by-start', base .. 'events', base .. 'deployments'
local DUTIES, EXPIRING, MOVING = base .. 'duties', base .. 'expiring', base .. 'moving'

local GRACE_MS = 2000      -- a lease is reaped this long after its expiry: the holder has stopped by then
local WOKEN_MS = 1000      -- so long an answer to a wake is waited for
local LATE_MS = 15000      -- waiting longer than this past its due time is late, as in Prefect
local MAX_LOST = 3         -- a run that was lost so often crashes: it may be what kills its consumers
local SPAN = 4398046511104 -- 2^42 ms: a ready run's score is priority * SPAN + due, below 2^53 up to priority 2047
local PRIORITY = 100       -- of a run that was given none
local MOST_FILTERS = 100   -- of a pool: each is matched with every run
local FILLED = 100         -- runs that a new filter picks up in one step
local BOUNDLESS = 1000000000

local function queue_key(queue) return base .. 'queue:' .. queue end
local function ready_key(queue) return base .. 'queue:' .. queue .. ':ready' end
local function due_key(queue) return base .. 'queue:' .. queue .. ':due' end
local function retry_key(queue) return base .. 'queue:' .. queue .. ':retry' end
local function slots_key(queue) return base .. 'queue:' .. queue .. ':slots' end
local function run_key(run) return base .. 'run:' .. run end
local function moved_key(run) return base .. 'moved:' .. run end
local function finished_key(state) return base .. 'runs:finished:' .. state end
local function schedule_key(deployment, id) return base .. 'schedule:' .. deployment .. ':' .. id end
local function consumer_key(consumer) return base .. 'consumer:' .. consumer end
local function holdings_key(consumer) return base .. 'consumer:' .. consumer .. ':runs' end
local function parked_key(group) return base .. 'parked:' .. group end
local function woken_key(group) return base .. 'woken:' .. group end

-- tostring(1.7e12) would give 1.7e+12
local function int(number) return string.format('%.0f', number) end

local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local pool
do
  local found = call('HMGET', POOL, 'id', 'type', 'limit', 'paused', 'lease_ms', 'deleting', 'note', 'template_id',
    'keep_ms', 'keep_runs', 'filters')
  pool = {
    exists = found[1], type = found[2], limit = tonumber(found[3] or ''), paused = found[4] == '1' or found[6] == '1',
    lease_ms = tonumber(found[5] or '30000'), deleting = found[6] == '1', note = found[7] or '',
    template_id = found[8] or '', keep_ms = tonumber(found[9] or '604800000'), keep_runs = tonumber(found[10] or '10000'),
    filters = found[11],
  }
end

-- Free slots of the pool.
local function pool_free()
  return pool.limit and pool.limit - call('ZCARD', LEASES) or BOUNDLESS
end

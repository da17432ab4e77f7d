-- Fragment: one run: its events, its fields, the fencing check, its place in a queue.
-- Every state change goes through place() here or hold() and conclude() in _lease.lua, and leaves an event.

local function event(name, ...)
  call('XADD', EVENTS, 'MAXLEN', '~', 20000, '*', 'event', name, 'ms', int(now), ...)
end

local function run_event(name, run, queue, state, consumer, epoch)
  event(name, 'run', run, 'queue', queue, 'state', state, 'consumer', consumer or '', 'epoch', epoch or 0)
end

-- The run's fields, or nil; numbers are numbers.
local function read_run(run)
  local found = call('HMGET', run_key(run), 'state', 'queue', 'due_ms', 'priority', 'epoch', 'consumer', 'lost',
    'crash_at', 'ended_epoch', 'deployment', 'attempts', 'releases', 'idempotency', 'schedule', 'overlap', 'expires_ms',
    'moves')
  if not found[1] then return nil end
  return {
    id = run, state = found[1], queue = found[2], due = tonumber(found[3]), priority = tonumber(found[4] or PRIORITY),
    epoch = tonumber(found[5] or 0), consumer = found[6] or '', lost = tonumber(found[7] or 0),
    crash_at = tonumber(found[8] or MAX_LOST), ended_epoch = tonumber(found[9] or 0), deployment = found[10] or '',
    attempts = tonumber(found[11] or 0), releases = tonumber(found[12] or 0), idempotency = found[13] or '',
    schedule = found[14] or '', overlap = found[15] or '', expires = tonumber(found[16] or ''),
    moves = tonumber(found[17] or 0),
  }
end

local HELD = { PENDING = true, RUNNING = true, CANCELLING = true }

-- The fencing check: is the run held by this consumer at this epoch?
local function held_by(run, consumer, epoch)
  return run and HELD[run.state] and run.consumer == consumer and run.epoch == tonumber(epoch)
end

-- Puts the run into its queue: ready; or of the future, apart if it waits for its retry, since that is not prefetched:
-- it would hold its slots meanwhile. Apart as well until its time comes if it must not overlap with an earlier run of
-- its schedule: that is decided then, by promote_from(). A queue that is gone: default.
local function place(run, due, is_retry)
  if not call('ZSCORE', QUEUES, run.queue) or FILTERS[run.queue] then run.queue = 'default' end
  local is_new = (run.epoch or 0) == 0
  local is_undecided = is_new and (run.overlap or '') ~= ''
  if due <= now and not is_undecided then
    enter(ready_key, run.queue, run.id, int(run.priority * SPAN + due))
  else
    enter((is_retry or is_undecided) and retry_key or due_key, run.queue, run.id, int(due))
  end
  call('HSET', run_key(run.id), 'state', 'SCHEDULED', 'queue', run.queue, 'due_ms', int(due))
  if due ~= run.due then
    call('ZADD', BY_START, int(due), run.id)
    if run.deployment ~= '' then call('ZADD', base .. 'runs:of:' .. run.deployment, int(due), run.id) end
  end
  if not is_new then call('HDEL', run_key(run.id), 'started_ms', 'pid') end
  if run.expires then call('ZADD', EXPIRING, int(run.expires), run.id) end
  touch(run.queue)
end

-- Takes a waiting run out of its queue; true: it waited for its retry.
local function unplace(run)
  leave(ready_key, run.queue, run.id)
  leave(due_key, run.queue, run.id)
  touch(run.queue)
  return leave(retry_key, run.queue, run.id)
end

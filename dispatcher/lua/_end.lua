-- Fragment: how a run ends, and how what is kept of it goes.

-- Removes every key and index entry of a run that is not held and not in a queue.
local function erase(run)
  call('ZREM', finished_key(run.state), run.id)
  call('ZREM', BY_START, run.id)
  if run.expires then call('ZREM', EXPIRING, run.id) end
  if run.schedule ~= '' then call('ZREM', schedule_key(run.deployment, run.schedule) .. ':runs', run.id) end
  if run.deployment ~= '' then call('ZREM', base .. 'runs:of:' .. run.deployment, run.id) end
  if run.idempotency ~= '' then
    local key = base .. 'idempotency:' .. run.deployment .. ':' .. run.idempotency
    if call('GET', key) == run.id then call('DEL', key) end
  end
  if run.moves > 0 then remember_move(run.id, run.moves) end
  call('UNLINK', run_key(run.id), run_key(run.id) .. ':input', run_key(run.id) .. ':job', run_key(run.id) .. ':result',
    run_key(run.id) .. ':log')
end

-- Removes up to `most` runs that ended in this state: those beyond the pool's number, and those that are too old.
local function trim(state, most)
  local over = call('ZCARD', finished_key(state)) - pool.keep_runs
  for _ = 1, most do
    local oldest = call('ZRANGE', finished_key(state), 0, 0, 'WITHSCORES')
    if not oldest[1] or (over <= 0 and tonumber(oldest[2]) > now - pool.keep_ms) then return end
    erase(read_run(oldest[1]))
    event('trimmed', 'run', oldest[1], 'state', state)
    over = over - 1
  end
end

-- Ends the run for good. `name` is the event's.
local function conclude(run, name, state, message)
  call('HSET', run_key(run.id), 'state', state, 'ended_ms', int(now), 'message', message)
  call('ZADD', finished_key(state), int(now), run.id)
  if run.expires then call('ZREM', EXPIRING, run.id) end
  if run.schedule ~= '' then call('ZREM', schedule_key(run.deployment, run.schedule) .. ':runs', run.id) end
  run_event(name, run.id, run.queue, state, run.consumer, run.epoch)
  trim(state, 2)
end

local function cancel_waiting(run, message)
  unplace(run)
  conclude(run, 'cancelled', 'CANCELLED', message)
end

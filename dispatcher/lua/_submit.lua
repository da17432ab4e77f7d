-- Fragment: how a new run comes into the pool.
local IDEMPOTENT_MS = 604800000 -- 7 days

-- `run`: id, name, queue, priority, deployment, key, and of a schedule: schedule, nominal, overlap, expires.
local function submit(run, due, input)
  call('HSET', run_key(run.id), 'name', run.name, 'created_ms', int(now))
  if run.deployment ~= '' then call('HSET', run_key(run.id), 'deployment', run.deployment) end
  if run.priority ~= PRIORITY then call('HSET', run_key(run.id), 'priority', int(run.priority)) end
  if run.key ~= '' then
    call('HSET', run_key(run.id), 'idempotency', run.key)
    call('SET', base .. 'idempotency:' .. run.deployment .. ':' .. run.key, run.id, 'PX', IDEMPOTENT_MS)
  end
  if run.schedule then
    call('HSET', run_key(run.id), 'schedule', run.schedule)
    call('ZADD', schedule_key(run.deployment, run.schedule) .. ':runs', int(run.nominal), run.id)
    if run.overlap ~= '' then call('HSET', run_key(run.id), 'overlap', run.overlap) end
    if run.expires then call('HSET', run_key(run.id), 'expires_ms', int(run.expires)) end
  end
  call('SET', run_key(run.id) .. ':input', input)
  place(run, due)
end

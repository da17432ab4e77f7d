-- Fragment: what time does by itself, done by whichever script runs next: promote due runs, reap expired leases.
-- Every mutating script calls pass_time() first, after its checks.

-- Notices jumps of the clock and long silences. After a silence of half a lease (an outage, a suspended machine) the
-- holders get one lease to come back before anything is reaped, once: who has not renewed since the last hold began
-- does not earn another. After a jump backwards no lease, and no answer waited for, may lie too far ahead.
local filling -- how far new filters have been filled; nil: there are none
local function guard()
  local found = call('HMGET', STATE, 'last_ms', 'hold_ms', 'filling')
  filling = found[3]
  local last, hold_ms = tonumber(found[1] or now), tonumber(found[2] or 0)
  local newest = tonumber(call('ZRANGE', LEASES, -1, -1, 'WITHSCORES')[2])
  if now - last > pool.lease_ms / 2 and newest and newest >= hold_ms then
    hold_ms = now + pool.lease_ms
    call('HSET', STATE, 'hold_ms', int(hold_ms))
    event('silence', 'silent_ms', int(now - last))
  elseif last - now > 1000 then
    hold_ms = math.min(hold_ms, now + pool.lease_ms)
    call('HSET', STATE, 'hold_ms', int(hold_ms))
    local ahead = int(now + pool.lease_ms)
    for _, run in ipairs(call('ZRANGE', LEASES, '(' .. ahead, '+inf', 'BYSCORE', 'LIMIT', 0, 1000)) do
      call('ZADD', LEASES, ahead, run)
    end
    for _, group in ipairs(call('SMEMBERS', GROUPS)) do call('DEL', woken_key(group)) end
    event('clock-back', 'back_ms', int(last - now))
  end
  call('HSET', STATE, 'last_ms', int(now))
  return hold_ms
end

-- Moves runs whose time has come from `due` or `retry` to `ready`; returns how many.
local function promote_from(place_key, queue, most)
  local runs = call('ZRANGE', place_key(queue), '-inf', int(now), 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
  for place_at = 1, #runs, 2 do
    local id, due = runs[place_at], tonumber(runs[place_at + 1])
    local found = call('HMGET', run_key(id), 'priority', 'overlap', 'epoch', 'due_ms', 'state')
    if found[2] then due = tonumber(found[4]) end -- it may have been looked at again later than it was due
    local is_waiting = found[5] == 'SCHEDULED' -- one before it may have cancelled it
    if is_waiting and (not found[2] or found[3] or may_begin(read_run(id))) then
      enter(ready_key, queue, id, int(tonumber(found[1] or PRIORITY) * SPAN + due))
      leave(place_key, queue, id)
    end
  end
  return #runs / 2
end

-- Does so for up to `most` runs of the pool, the earliest due first.
local function promote(most)
  while most > 0 do
    local head = call('ZRANGE', NEXT, 0, 0, 'WITHSCORES')
    if not head[1] or tonumber(head[2]) > now then return end
    local queue = head[1]
    most = most - promote_from(due_key, queue, most)
    if most > 0 then most = most - promote_from(retry_key, queue, most) end
    refresh(queue)
  end
end

-- Takes up to `most` runs from holders that have been silent beyond lease and grace; none during a hold.
local function reap(most, hold_ms)
  if now < hold_ms then return end
  for _, id in ipairs(call('ZRANGE', LEASES, '-inf', int(now - GRACE_MS), 'BYSCORE', 'LIMIT', 0, most)) do
    lose(read_run(id), 'its consumer fell silent for longer than its lease')
  end
end

-- What has come due by `now`. Apart from guard() for scripts whose caller is heard before its own lease is looked at.
local function catch_up(hold_ms)
  outlast(16)
  promote(64)
  reap(16, hold_ms)
  if filling then filling = fill(filling) end
  for queue in pairs(touched) do refresh(queue) end -- what was reaped waits again, for the claim of this very call too
end

local function pass_time() catch_up(guard()) end

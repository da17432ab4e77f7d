-- Fragment: the slots and the lease of one run, and how a run ends or is lost.
-- Moves: expire PENDING RUNNING -> SCHEDULED CRASHED
-- Moves: expire CANCELLING -> CANCELLED

local function hold(run, consumer)
  enter(slots_key, run.queue, run.id, int(now))
  call('ZADD', LEASES, int(now + pool.lease_ms), run.id)
  call('SADD', holdings_key(consumer), run.id)
  touch(run.queue)
end

local function unhold(run)
  leave(slots_key, run.queue, run.id)
  call('ZREM', LEASES, run.id)
  call('SREM', holdings_key(run.consumer), run.id)
  touch(run.queue)
end

-- Takes a held run from a consumer that is gone: it waits again where it stood, unless it was lost too often.
local function lose(run, message)
  unhold(run)
  call('HINCRBY', run_key(run.id), 'lost', 1)
  if run.state == 'CANCELLING' then return conclude(run, 'lost', 'CANCELLED', 'cancelled; ' .. message) end
  if run.lost + 1 >= run.crash_at then
    return conclude(run, 'lost', 'CRASHED', message .. '; lost ' .. run.lost + 1 .. ' times, given up')
  end
  call('HSET', run_key(run.id), 'message', message)
  place(run, run.due)
  run_event('lost', run.id, run.queue, 'SCHEDULED', run.consumer, run.epoch)
end

-- Up to `most` waiting runs of a queue, ready ones first.
local function waiting_runs(queue, most)
  local ids = {}
  for _, key in ipairs({ ready_key(queue), due_key(queue), retry_key(queue) }) do
    if #ids >= most then break end
    for _, id in ipairs(call('ZRANGE', key, 0, most - #ids - 1)) do ids[#ids + 1] = id end
  end
  return ids
end

-- What a consumer is told of a run that it has claimed.
local function described(run)
  local found = call('HMGET', run_key(run), 'epoch', 'queue', 'due_ms', 'attempts', 'lost', 'name', 'deployment')
  local wait_ms = math.max(0, tonumber(found[3]) - now)
  return { run, tonumber(found[1]), found[2], wait_ms, tonumber(found[4] or 0), tonumber(found[5] or 0), found[6],
    found[7] or '', found[3], call('GET', run_key(run) .. ':input') or '{}' }
end

-- Fragment: keeps `admissible`, `next` and `early` equal to what follows from the queues. Nobody else writes them.
-- A script that changes anything of a queue marks it with touch(); settle() in _wake.lua refreshes what is marked.
local touched = {}
local function touch(queue) touched[queue] = true end

-- Free slots of the queue, or 0 when it is paused or deleted. `holders`: whose slots count, if not its own.
local function queue_free(queue, holders)
  local found = call('HMGET', queue_key(queue), 'id', 'limit', 'paused')
  if not found[1] or found[3] == '1' then return 0 end
  local limit = tonumber(found[2] or '')
  return limit and limit - call('ZCARD', slots_key(holders or queue)) or BOUNDLESS
end

local function list(index, queue, score)
  if score then call('ZADD', index, score, queue) else call('ZREM', index, queue) end
end

-- The queue's scores in `admissible`, `next` and `early`, computed from truth; false or nil: it does not belong there.
local function standing(queue)
  local priority = call('ZSCORE', QUEUES, queue)
  local open = priority and queue_free(queue) > 0
  local head = call('ZRANGE', due_key(queue), 0, 0, 'WITHSCORES')[2]
  local again = call('ZRANGE', retry_key(queue), 0, 0, 'WITHSCORES')[2]
  local soonest = head and again and (tonumber(again) < tonumber(head) and again or head) or head or again
  return open and call('EXISTS', ready_key(queue)) == 1 and priority, priority and soonest, open and head
end

local function refresh(queue)
  local admissible, soonest, early = standing(queue)
  list(ADMISSIBLE, queue, admissible)
  list(NEXT, queue, soonest)
  list(EARLY, queue, early)
  touched[queue] = nil
end

-- Runs that wait in the queue.
local function waiting_count(queue)
  return call('ZCARD', ready_key(queue)) + call('ZCARD', due_key(queue)) + call('ZCARD', retry_key(queue))
end

-- Late runs of a queue: ready ones need a look per run priority in use, because the priority leads the score.
local function late_count(queue)
  local limit_ms, from = now - LATE_MS - 1, '-inf'
  local late = call('ZCOUNT', due_key(queue), '-inf', int(limit_ms)) + call('ZCOUNT', retry_key(queue), '-inf', int(limit_ms))
  while true do
    local head = call('ZRANGE', ready_key(queue), from, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    if not head[1] then return late end
    local floor = math.floor(tonumber(head[2]) / SPAN) * SPAN
    late = late + call('ZCOUNT', ready_key(queue), int(floor), int(floor + limit_ms))
    from = int(floor + SPAN)
  end
end

-- Sets fields of a pool or queue from { name, value, ... }; an empty limit is none. Tells changed(name, value) of those
-- that differ, so that setting the same again leaves no event.
local function set_fields(key, changes, changed)
  for place_at = 1, #changes, 2 do
    local name, value = changes[place_at], changes[place_at + 1]
    if changed and (call('HGET', key, name) or '') ~= value then changed(name, value) end
    if name == 'limit' and value == '' then call('HDEL', key, name) else call('HSET', key, name, value) end
  end
  call('HSET', key, 'updated_ms', int(now))
end

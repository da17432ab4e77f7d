-- Fragment: the one rule of waking. settle(k) ends every mutating script: whatever became possible wakes who can do
-- it, up to k consumers a group (they pass it on), and somebody always keeps the pool's timer.

-- Wakes up to `most` of the group's parked consumers, least loaded first; the dead are dropped on the way. Returns
-- how many it did not find.
local function wake(group, most, token)
  local looks = 64
  while most > 0 and looks > 0 do
    local consumer = call('ZPOPMIN', parked_key(group))[1]
    if not consumer then break end
    looks = looks - 1
    call('ZREM', TIMERS, consumer)
    if tonumber(call('ZSCORE', CONSUMERS, consumer) or 0) > now then
      call('ZADD', woken_key(group), int(now + WOKEN_MS), consumer)
      ring(consumer, token)
      most = most - 1
    end
  end
  return most
end

-- How many runs the group could claim now, ready or within its prefetch, counted up to `enough`, a run anew for each
-- queue and lane that shows it. Pool aside.
local function available(group, enough)
  local prefetch, selector = parts(group)
  local count = 0
  local sources = matching(selector, ADMISSIBLE, enough)
  for place_at = 1, #sources, 2 do
    count = count + math.min(call('ZCARD', ready_key(sources[place_at])), free_of(sources[place_at]))
    if count >= enough then return enough end
  end
  if prefetch == 0 then return count end
  sources = matching(selector, EARLY, enough)
  for place_at = 1, #sources, 2 do
    if tonumber(sources[place_at + 1]) > now + prefetch then break end
    local soon = call('ZCOUNT', due_key(sources[place_at]), '-inf', int(now + prefetch))
    count = count + math.min(soon, free_of(sources[place_at]))
    if count >= enough then return enough end
  end
  return count
end

local function settle(most)
  for queue in pairs(touched) do refresh(queue) end
  local groups, asleep = live_groups(), {}
  local free = pool.paused and 0 or pool_free()
  if free > 0 and call('EXISTS', ADMISSIBLE, EARLY) == 0 then free = 0 end
  for _, group in ipairs(groups) do
    local parked, woken = call('ZCARD', parked_key(group)), call('ZCARD', woken_key(group))
    if parked > 0 and free > woken then
      wake(group, math.min(most, free - woken, available(group, most + woken) - woken), 'work')
      parked = call('ZCARD', parked_key(group))
    end
    if parked > 0 then asleep[#asleep + 1] = group elseif call('EXISTS', woken_key(group)) == 0 then
      call('SREM', GROUPS, group)
    end
  end
  local moment = asleep[1] and next_moment(groups)
  if not moment then return end
  local armed = first_timer()
  if armed and armed <= moment then return end
  for _, group in ipairs(asleep) do
    if wake(group, 1, 'timer') == 0 then return end
  end
end

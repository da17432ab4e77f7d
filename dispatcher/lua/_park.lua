-- Fragment: an idle consumer's wait. One parked consumer, the keeper, looks at the pool exactly when something will
-- happen by itself, a deputy 250 ms later; everyone else only takes a rare safety look.

-- The groups with idle consumers; wakes that are overdue are forgotten, once a call. What a script costs grows with
-- their number, by about four commands each.
local live_groups_found
local function live_groups()
  if not live_groups_found then
    live_groups_found = call('SMEMBERS', GROUPS)
    for _, group in ipairs(live_groups_found) do call('ZREMRANGEBYSCORE', woken_key(group), '-inf', int(now)) end
  end
  return live_groups_found
end

-- When the first lease can be reaped; nil: none is held.
local function reapable_ms()
  local lease = tonumber(call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')[2])
  return lease and math.max(lease + GRACE_MS, tonumber(call('HGET', STATE, 'hold_ms') or 0))
end

-- When something will happen by itself: a run becomes due (or due enough to prefetch it), a lease can be reaped, an
-- answer to a wake is overdue, a run expires, a duty waits, a new filter is not filled yet. nil: nothing will.
local function next_moment(groups)
  local moment
  local function at(ms) if ms and (not moment or ms < moment) then moment = ms end end
  at(tonumber(call('ZRANGE', NEXT, 0, 0, 'WITHSCORES')[2]))
  at(reapable_ms())
  at(tonumber(call('ZRANGE', EXPIRING, 0, 0, 'WITHSCORES')[2]))
  at(tonumber(call('ZRANGE', DUTIES, 0, 0, 'WITHSCORES')[2]))
  at(filling and now)
  local soonest = not pool.paused and pool_free() > 0 and tonumber(call('ZRANGE', EARLY, 0, 0, 'WITHSCORES')[2])
  for _, group in ipairs(groups) do
    at(tonumber(call('ZRANGE', woken_key(group), 0, 0, 'WITHSCORES')[2]))
    local prefetch, selector = parts(group)
    if soonest and prefetch > 0 and (not moment or soonest - prefetch < moment) then
      local early = tonumber(matching(selector, EARLY, 1)[2])
      -- already within the prefetch: it is work that is there now, and its wake is out
      if early and early - prefetch > now then at(early - prefetch) end
    end
  end
  return moment
end

-- When the keeper will look; one that has not come by the time of its deputy is dropped.
local DEPUTY_MS = 250
local function first_timer()
  call('ZREMRANGEBYSCORE', TIMERS, '-inf', int(now - DEPUTY_MS))
  return tonumber(call('ZRANGE', TIMERS, 0, 0, 'WITHSCORES')[2])
end

-- Parks the consumer; returns how long it waits and whether that is a timer (1) or the safety look (0). However many
-- are parked, the pool gets a safety look every 5 s, from 1,200 consumers on twenty looks a second.
local function park(consumer, group, load)
  call('ZADD', parked_key(group), load, consumer)
  call('SADD', GROUPS, group)
  local groups, parked = live_groups(), 0
  for _, other in ipairs(groups) do parked = parked + call('ZCARD', parked_key(other)) end
  local safety_ms = math.max(5000, math.min(60000, 50 * parked))
  local moment = next_moment(groups)
  if not moment then return safety_ms, 0 end
  local armed = first_timer()
  if armed and armed <= moment then
    if call('ZCARD', TIMERS) > 1 then return safety_ms, 0 end
    moment = armed + DEPUTY_MS
  end
  call('ZADD', TIMERS, int(moment), consumer)
  if moment - now > safety_ms then return safety_ms, 0 end
  return math.max(1, moment - now), 1
end

-- Fragment: filters come and go. A new one picks up what waits and what is held already, in steps that any script takes:
-- the field `filling` of the state says how far that is. Until the end nothing is handed out through it.

-- Adds a filter to those of the pool, or (nil) takes one away.
local function set_filter(name, filter)
  FILTERS[name], matches = filter, {}
  local texts = {} -- put together from what was sent, because cjson would turn [] into {}
  for each in pairs(FILTERS) do
    local text = call('HGET', queue_key(each), 'filter')
    if text then texts[#texts + 1] = '"' .. each .. '":' .. text end
  end
  table.sort(texts)
  pool.filters = texts[1] and '{' .. table.concat(texts, ',') .. '}'
  if pool.filters then call('HSET', POOL, 'filters', pool.filters) else call('HDEL', POOL, 'filters') end
end

-- Goes on behind `after`, the start and the id of the last run looked at; returns how far it came, nil: to the end. What
-- moves meanwhile is picked up by its move, and a last one that is gone or has moved is answered by looking at all of
-- its start again.
local function fill(after)
  local start, last = string.match(after, '^(%d+) (%w*)$')
  local is_there = tonumber(call('ZSCORE', BY_START, last)) == tonumber(start)
  local rank = is_there and call('ZRANK', BY_START, last) + 1 or call('ZCOUNT', BY_START, '-inf', '(' .. start)
  local runs = pool.filters and call('ZRANGE', BY_START, rank, rank + FILLED - 1, 'WITHSCORES') or {}
  for place_at = 1, #runs, 2 do
    local found = call('HMGET', run_key(runs[place_at]), 'state', 'queue')
    local places = found[1] == 'SCHEDULED' and { ready_key, due_key, retry_key } or { slots_key }
    for _, place_key in ipairs(places) do
      local score = call('ZSCORE', place_key(found[2]), runs[place_at])
      if score then enter(place_key, found[2], runs[place_at], score) end
    end
  end
  if #runs == 2 * FILLED then
    after = runs[#runs] .. ' ' .. runs[#runs - 1]
    call('HSET', STATE, 'filling', after)
    return after
  end
  call('HDEL', STATE, 'filling')
  for name in pairs(FILTERS) do call('HDEL', queue_key(name), 'filling') end
end

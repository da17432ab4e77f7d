-- Fragment: which queues and lanes a group of consumers serves. Reads only.
-- A group is '<prefetch ms>/<selector>'; a selector '*', '=name,name' or '^prefix,prefix'.

local function parts(group)
  local prefetch, selector = string.match(group, '^(%d+)/(.+)$')
  return tonumber(prefetch), selector
end

local function serves(selector, queue)
  local kind, listed = string.sub(selector, 1, 1), string.sub(selector, 2)
  if kind == '*' then return true end
  for name in string.gmatch(listed, '[^,]+') do
    if kind == '=' and queue == name then return true end
    if kind == '^' and string.sub(queue, 1, #name) == name then return true end
  end
  return false
end

-- Free slots for a claim from a queue or a lane. A filter is closed until it shows all that it matches.
local function free_of(source)
  local queue, filter = string.match(source, '^(.*)/(.+)$')
  if not filter then return queue_free(source) end
  if call('HEXISTS', queue_key(filter), 'filling') == 1 then return 0 end
  return math.min(queue_free(filter, '/' .. filter), queue ~= '' and queue_free(queue) or BOUNDLESS)
end

-- Queues and lanes of an index that the selector matches, lowest score first: { source, score, source, score, ... }. A
-- lane has the priority of its filter, among those of one filter of its queue; or the time at which its first run is due.
-- Cost: O(1) for '*', O(names) for a list; only prefixes and filters walk the index.
local function matching(selector, index, most)
  local kind = string.sub(selector, 1, 1)
  if kind == '*' then return call('ZRANGE', index, 0, most - 1, 'WITHSCORES') end
  local sources, found = {}, {}
  local function add(source, score, second)
    sources[#sources + 1] = { source, tonumber(score), tonumber(second or score) }
  end
  if kind == '^' then
    local all = call('ZRANGE', index, 0, -1, 'WITHSCORES')
    for place_at = 1, #all, 2 do
      if serves(selector, all[place_at]) then add(all[place_at], all[place_at + 1]) end
      if #sources >= most then break end
    end
  else
    for name in string.gmatch(string.sub(selector, 2), '[^,]+') do
      local score = call('ZSCORE', index, name)
      if score then add(name, score) end
    end
  end
  local queues = pool.filters and call('ZRANGE', index, 0, -1, 'WITHSCORES')
  for filter in pairs(FILTERS) do
    for place_at = 1, serves(selector, filter) and free_of('/' .. filter) > 0 and #queues or 0, 2 do
      local lane = queues[place_at] .. '/' .. filter
      local first = index == EARLY and call('ZRANGE', due_key(lane), 0, 0, 'WITHSCORES')
      if first and first[1] then
        add(lane, first[2])
      elseif not first and call('EXISTS', ready_key(lane)) == 1 then
        add(lane, call('ZSCORE', QUEUES, filter), queues[place_at + 1])
      end
    end
  end
  table.sort(sources, function(one, other)
    if one[2] ~= other[2] then return one[2] < other[2] end
    if one[3] ~= other[3] then return one[3] < other[3] end
    return one[1] < other[1]
  end)
  for place_at = 1, math.min(most, #sources) do
    found[#found + 1], found[#found + 2] = sources[place_at][1], int(sources[place_at][2])
  end
  return found
end

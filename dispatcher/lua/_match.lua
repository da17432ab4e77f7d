-- Fragment: which queues a group of consumers serves, and how much work is there for it. Reads only.
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

-- Queues of an index that the selector matches, lowest score first: { queue, score, queue, score, ... }.
-- Cost: O(1) for '*', O(names) for a list; only prefixes walk the index.
local function matching(selector, index, most)
  local kind = string.sub(selector, 1, 1)
  if kind == '*' then return call('ZRANGE', index, 0, most - 1, 'WITHSCORES') end
  if kind == '^' then
    local all, found = call('ZRANGE', index, 0, -1, 'WITHSCORES'), {}
    for place_at = 1, #all, 2 do
      if serves(selector, all[place_at]) then
        found[#found + 1], found[#found + 2] = all[place_at], all[place_at + 1]
        if #found >= most * 2 then break end
      end
    end
    return found
  end
  local pairs_found = {}
  for name in string.gmatch(string.sub(selector, 2), '[^,]+') do
    local score = call('ZSCORE', index, name)
    if score then pairs_found[#pairs_found + 1] = { name, tonumber(score) } end
  end
  table.sort(pairs_found, function(one, other)
    if one[2] ~= other[2] then return one[2] < other[2] end
    return one[1] < other[1]
  end)
  local found = {}
  for place_at = 1, math.min(most, #pairs_found) do
    found[#found + 1], found[#found + 2] = pairs_found[place_at][1], int(pairs_found[place_at][2])
  end
  return found
end

-- How many runs the group could claim now, ready or within its prefetch, counted up to `enough`. Pool aside.
local function available(group, enough)
  local prefetch, selector = parts(group)
  local count = 0
  local queues = matching(selector, ADMISSIBLE, enough)
  for place_at = 1, #queues, 2 do
    count = count + math.min(call('ZCARD', ready_key(queues[place_at])), queue_free(queues[place_at]))
    if count >= enough then return enough end
  end
  if prefetch == 0 then return count end
  queues = matching(selector, EARLY, enough)
  for place_at = 1, #queues, 2 do
    if tonumber(queues[place_at + 1]) > now + prefetch then break end
    local soon = call('ZCOUNT', due_key(queues[place_at]), '-inf', int(now + prefetch))
    count = count + math.min(soon, queue_free(queues[place_at]))
    if count >= enough then return enough end
  end
  return count
end

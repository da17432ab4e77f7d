-- Fragment: filter queues, the legacy kind. No run lives in one: it shows runs of all other queues and has a limit and a
-- pause for who takes them through it. Of each queue and filter there is a lane, `<queue>/<filter>`, whose sets mirror
-- the waiting runs of the queue that the filter matches; the held ones that it matches are the slots of `/<filter>`.
-- Runs go in and out of all of these by enter() and leave().
local FILTERS = pool.filters and cjson.decode(pool.filters) or {}
local matches = {} -- run -> names, as found by this call

-- The filters that match the run.
local function filters_of(run)
  if matches[run] then return matches[run] end
  local deployment, tagged, names = call('HGET', run_key(run), 'deployment'), {}, {}
  local is_read, input = pcall(cjson.decode, call('GET', run_key(run) .. ':input') or '{}')
  if not is_read then input = {} end -- there may be half a character in it, which must not break what the script does
  for _, tag in ipairs(input.tags or {}) do tagged[tag] = true end
  local function listed(list, value)
    for _, one in ipairs(list) do if one == value then return true end end
    return not list[1]
  end
  for name, filter in pairs(FILTERS) do
    local fits = listed(filter.deployments, deployment) and listed(filter.types, input.infrastructure or 'process')
    for _, tag in ipairs(filter.tags) do fits = fits and tagged[tag] end
    if fits then names[#names + 1] = name end
  end
  matches[run] = names
  return names
end

-- Puts a run into a set of its queue, which `place_key` names, and into those of the filters that match it: waiting runs
-- into ready_key, due_key or retry_key, of lanes; held ones into slots_key, of the filter whatever their queue.
local function enter(place_key, queue, run, score)
  call('ZADD', place_key(queue), score, run)
  if not pool.filters then return end
  local home = place_key == slots_key and '' or queue
  for _, filter in ipairs(filters_of(run)) do call('ZADD', place_key(home .. '/' .. filter), score, run) end
end

-- Takes it out of them; true: it was in its queue's.
local function leave(place_key, queue, run)
  if pool.filters then
    local home = place_key == slots_key and '' or queue
    for _, filter in ipairs(filters_of(run)) do call('ZREM', place_key(home .. '/' .. filter), run) end
  end
  return call('ZREM', place_key(queue), run) == 1
end

-- Fragment: looking for faults, and mending what follows from the runs, for the scripts `*_audit` alone. Keys may be of
-- any type here, so each is asked for its type first.
local mends, faults -- each fault: code, subject, key without the pool's part, found, wanted

local function fault(code, subject, key, found, wanted)
  faults = faults or {}
  local place = string.sub(key, #base + 1)
  if #faults < 1000 then faults[#faults + 1] = { code, subject, place, found or '', wanted or '' } end
end

local function reported()
  if mends and faults then event('repaired', 'value', int(#faults)) end
  return unpack(faults or {})
end

local function type_of(key) return call('TYPE', key).ok end

-- Whether the key is absent or of this type by now: one that is not is told, and removed if faults are to be mended.
local function check_type(key, wanted)
  local kind = type_of(key)
  if kind == 'none' or kind == wanted then return true end
  fault('type', '', key, kind, wanted)
  if mends then call('UNLINK', key) end
  return mends
end

-- Of an index: what a consumer holds is a set, every other one a sorted set.
local function index_type(key) return string.sub(key, #base + 1, #base + 9) == 'consumer:' and 'set' or 'zset' end

-- The score of a member, true in a set; nil: it is not there.
local function place_in(key, member)
  if type_of(key) ~= index_type(key) then return nil end
  if index_type(key) == 'set' then return call('SISMEMBER', key, member) == 1 or nil end
  return tonumber(call('ZSCORE', key, member) or '')
end

-- Which of its queue's sets, or `moving`, a waiting run belongs into: where it stands, if its time allows for that.
local function waits_in(run)
  local ready, due, retry = ready_key(run.queue), due_key(run.queue), retry_key(run.queue)
  local is_undecided = run.epoch == 0 and run.overlap ~= ''
  local is_apart = is_undecided or run.attempts > 0
  local order = is_apart and { retry, ready, due } or { due, ready, retry }
  if run.due <= now then order = is_apart and { ready, retry, due } or { ready, due, retry } end
  if call('HEXISTS', run_key(run.id), 'moving_to') == 1 then table.insert(order, 1, MOVING) end
  local found
  for _, key in ipairs(order) do found = found or place_in(key, run.id) and key end
  found = found or run.due <= now and not is_undecided and ready or is_apart and retry or due
  local scores = { [ready] = run.priority * SPAN + run.due, [due] = run.due, [retry] = run.overlap == '' and run.due }
  return found, scores[found] or place_in(found, run.id) or true
end

-- And where filters show it. One that is new has not picked up every run; a part of another type cannot be matched.
local function show(keys, run, queue, suffix, score)
  local kind = type_of(run_key(run.id) .. ':input')
  local is_read = pool.filters and (kind == 'string' or kind == 'none')
  for _, filter in ipairs(is_read and filters_of(run.id) or {}) do
    local key = queue_key(queue .. '/' .. filter) .. suffix
    if call('HEXISTS', queue_key(filter), 'filling') == 0 or place_in(key, run.id) then keys[key] = score end
  end
end

-- Where the run belongs by its own fields: { [key] = score, or true: any }.
local function home(run)
  local keys = { [BY_START] = run.due }
  local since = call('HGET', run_key(run.id), HELD[run.state] and 'claimed_ms' or 'ended_ms') or ''
  if run.deployment ~= '' then keys[base .. 'runs:of:' .. run.deployment] = run.due end
  if HELD[run.state] then
    keys[LEASES], keys[slots_key(run.queue)] = true, tonumber(since) or true
    show(keys, run, '', ':slots', tonumber(since) or true)
    if run.consumer ~= '' then keys[holdings_key(run.consumer)] = true end
  elseif run.state == 'SCHEDULED' then
    local key, score = waits_in(run)
    keys[key] = score
    if key ~= MOVING then show(keys, run, run.queue, string.match(key, ':%w+$'), score) end
    if key ~= MOVING and run.expires and run.attempts == 0 then keys[EXPIRING] = run.expires end
  else
    keys[finished_key(run.state)] = tonumber(since) or true
  end
  return keys
end

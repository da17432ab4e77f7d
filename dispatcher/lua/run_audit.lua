#!lua flags=allow-oom
-- Compares where runs stand with where they belong by their own fields; asked to mend, it puts them there. Every run
-- belongs into the indexes by start; a waiting one into one of its queue's sets or `moving`; a held one into `leases`,
-- its queue's slots and its consumer's runs; a finished one into the index of its state.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] mend; ARGV[3] index: who does not belong there, or empty: where the runs are missing; ARGV[4...] run
-- Returns: audited fault:list*
-- Returns: NOPOOL
-- Twice: finds what is left
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
mends = ARGV[2] == '1'
local ENDED = { COMPLETED = true, FAILED = true, CRASHED = true, CANCELLED = true }
local DEFAULTS = { state = 'CRASHED', queue = 'default', due_ms = int(now), created_ms = int(now) }
local MAX_LEASE_MS = 3600000 -- no pool has longer ones
local PARTS = { [':input'] = 'string', [':job'] = 'string', [':result'] = 'string', [':log'] = 'stream' }

-- The run; nil: there is none; false: its record is damaged, and not mended.
local function whole(id)
  if not check_type(run_key(id), 'hash') then return false end
  if call('EXISTS', run_key(id)) == 0 then return nil end
  local is_whole = true
  for field, default in pairs(DEFAULTS) do
    local found = call('HGET', run_key(id), field) or ''
    local is_good = tonumber(found) or field == 'queue' and found ~= ''
    if field == 'state' then is_good = found == 'SCHEDULED' or HELD[found] or ENDED[found] end
    if not is_good then
      is_whole = false
      fault('field', id, run_key(id), field .. '=' .. found, field .. '=' .. default)
      if mends then call('HSET', run_key(id), field, default, 'message', 'its record was damaged, and repaired') end
    end
  end
  return (is_whole or mends) and read_run(id)
end

local function find_stray(index, id, run)
  if run == false or not place_in(index, id) then return end
  local is_unfinished = run and (HELD[run.state] or run.state == 'SCHEDULED')
  if is_unfinished and (index == EXPIRING or string.sub(index, #base + 1, #base + 9) == 'schedule:') then return end
  if run and home(run)[index] then return end
  fault('stray', id, index, run and run.state or '')
  if mends and index_type(index) == 'set' then call('SREM', index, id) elseif mends then call('ZREM', index, id) end
end

local function put(key, run, score)
  if score == true then score = key == LEASES and now + pool.lease_ms or now end
  if type_of(key) ~= index_type(key) then call('UNLINK', key) end
  if index_type(key) == 'set' then call('SADD', key, run.id) else call('ZADD', key, int(score), run.id) end
end

local function find_missing(run)
  local is_there = place_in(QUEUES, run.queue) or type_of(queue_key(run.queue)) == 'hash' -- pool_audit lists it again
  if run.state == 'SCHEDULED' and not is_there and not place_in(MOVING, run.id) then
    fault('gone', run.id, queue_key(run.queue))
    if mends then call('HSET', run_key(run.id), 'queue', 'default') end
    run.queue = 'default'
  end
  for key, score in pairs(home(run)) do
    local found = place_in(key, run.id)
    if key == LEASES and found and found > now + MAX_LEASE_MS then score = now + pool.lease_ms end
    if not found then fault('missing', run.id, key, run.state) end
    if found and score ~= true and found ~= score then fault('score', run.id, key, int(found), int(score)) end
    if mends and (not found or score ~= true and found ~= score) then put(key, run, score) end
  end
  for part, kind in pairs(PARTS) do check_type(run_key(run.id) .. part, kind) end
end

if ARGV[3] ~= '' then check_type(base .. '' .. ARGV[3], index_type(base .. ARGV[3])) end
for place_at = 4, #ARGV do
  local id = ARGV[place_at]
  local run = whole(id)
  if ARGV[3] ~= '' then find_stray(base .. ARGV[3], id, run) elseif run then find_missing(run) elseif run == nil then
    local is_orphan = false
    for part in pairs(PARTS) do is_orphan = call('EXISTS', run_key(id) .. part) == 1 or is_orphan end
    for part in pairs(mends and PARTS or {}) do call('UNLINK', run_key(id) .. part) end
    if is_orphan then fault('orphan', id, run_key(id)) end
  end
end
return { 'audited', reported() }

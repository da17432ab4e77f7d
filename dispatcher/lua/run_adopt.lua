#!lua
-- Takes in runs that left another pool, as they are: their epochs go on.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] queue; ARGV[3...] per run: run, JSON list of its fields and values, input JSON
-- Returns: adopted count:int
-- Returns: NOPOOL
-- Returns: DELETING
-- Returns: NOQUEUE queue:str
-- Twice: passes over those that are here
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
if pool.deleting then return { 'DELETING' } end
local queue, count = ARGV[2], 0
if not call('ZSCORE', QUEUES, queue) then return { 'NOQUEUE', queue } end
local KEPT = { 'name', 'created_ms', 'priority', 'deployment', 'idempotency', 'epoch', 'attempts', 'lost', 'releases',
  'message', 'exit_code', 'crash_at', 'schedule', 'overlap', 'expires_ms', 'log_bytes' }
pass_time()

local function adopt(id, fields, input)
  local of = {}
  for place_at = 1, #fields, 2 do of[fields[place_at]] = fields[place_at + 1] end
  for _, name in ipairs(KEPT) do
    if of[name] then call('HSET', run_key(id), name, of[name]) end
  end
  call('HSET', run_key(id), 'state', 'SCHEDULED', 'queue', queue, 'due_ms', of.due_ms)
  call('SET', run_key(id) .. ':input', input)
  local run = read_run(id)
  if run.idempotency ~= '' then
    call('SET', base .. 'idempotency:' .. run.deployment .. ':' .. run.idempotency, id, 'PX', IDEMPOTENT_MS, 'NX')
  end
  if run.schedule ~= '' then call('ZADD', schedule_key(run.deployment, run.schedule) .. ':runs', of.nominal_ms, id) end
  local due = run.due
  run.due = nil -- so that it is put into the indexes by start
  place(run, due, of.is_retry == '1')
  run_event('moved-in', id, run.queue, 'SCHEDULED', '', run.epoch)
end

for place_at = 3, #ARGV, 3 do
  if call('EXISTS', run_key(ARGV[place_at])) == 0 then
    adopt(ARGV[place_at], cjson.decode(ARGV[place_at + 1]), ARGV[place_at + 2])
    count = count + 1
  end
end
settle(math.max(1, math.min(count, 4)))
return { 'adopted', count }

#!lua
-- Takes in runs that left another pool, as they are, with their logs: their epochs go on. Those that were refused since
-- are named; those that came by this going out already, or went on from here since, are passed over.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] queue; ARGV[3...] per run: run, JSON list of its fields and values, input JSON, JSON list of log or empty
-- Returns: adopted refused_run:str*
-- Returns: NOPOOL
-- Returns: DELETING
-- Returns: NOQUEUE queue:str
-- Twice: passes over those that are here
-- Cost: O(log N) a run and O(1) a line
if not pool.exists then return { 'NOPOOL' } end
if pool.deleting then return { 'DELETING' } end
local queue, count, reply = ARGV[2], 0, { 'adopted' }
if not call('ZSCORE', QUEUES, queue) then return { 'NOQUEUE', queue } end
local KEPT = { 'name', 'created_ms', 'priority', 'deployment', 'idempotency', 'epoch', 'attempts', 'lost', 'releases',
  'message', 'exit_code', 'crash_at', 'schedule', 'overlap', 'expires_ms', 'log_bytes', 'log_lines', 'moves' }
pass_time()

local function adopt(id, of, input, log)
  for _, name in ipairs(KEPT) do
    if of[name] then call('HSET', run_key(id), name, of[name]) end
  end
  call('HSET', run_key(id), 'state', 'SCHEDULED', 'queue', queue, 'due_ms', of.due_ms)
  call('SET', run_key(id) .. ':input', input)
  for place_at = 1, #log, 3 do
    call('XADD', run_key(id) .. ':log', int(log[place_at]) .. '-0', 'ms', log[place_at + 1], 'line', log[place_at + 2])
  end
  local run = read_run(id)
  if run.idempotency ~= '' then
    call('SET', base .. 'idempotency:' .. run.deployment .. ':' .. run.idempotency, id, 'PX', IDEMPOTENT_MS, 'NX')
  end
  if of.nominal_ms then call('ZADD', schedule_key(run.deployment, run.schedule) .. ':runs', of.nominal_ms, id) end
  local due = run.due
  run.due = nil -- so that it is put into the indexes by start
  place(run, due, of.is_retry == '1')
  run_event('moved-in', id, run.queue, 'SCHEDULED', '', run.epoch)
end

for place_at = 3, #ARGV, 4 do
  local id, flat, of = ARGV[place_at], cjson.decode(ARGV[place_at + 1]), {}
  for field_at = 1, #flat, 2 do of[flat[field_at]] = flat[field_at + 1] end
  local word = arrival(id, tonumber(of.moves))
  if word == 'refused' then
    reply[#reply + 1] = id
  elseif word == 'open' and (of.epoch or not of.nominal_ms or not is_made(of.deployment, of.schedule, of.nominal_ms)) then
    local log, stale = ARGV[place_at + 3], read_run(id)
    if stale then -- it left here before, which was never forgotten
      call('ZREM', MOVING, id)
      erase(stale)
    end
    adopt(id, of, ARGV[place_at + 2], log ~= '' and cjson.decode(log) or {})
    count = count + 1
  end
end
settle(math.max(1, math.min(count, 4)))
return reply

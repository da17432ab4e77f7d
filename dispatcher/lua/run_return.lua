#!lua flags=allow-oom
-- Lets runs that were to leave the pool, and were refused elsewhere, wait here again.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] queue or empty: where each was; ARGV[3...] per run: run, moves
-- Returns: returned count:int
-- Returns: NOPOOL
-- Twice: changes nothing more
-- Cost: O(log N) a run
if not pool.exists then return { 'NOPOOL' } end
local queue, count = ARGV[2], 0
pass_time()
for place_at = 3, #ARGV, 2 do
  local run = call('ZSCORE', MOVING, ARGV[place_at]) and read_run(ARGV[place_at])
  if run and run.moves == tonumber(ARGV[place_at + 1]) then
    local found = call('HMGET', run_key(run.id), 'nominal_ms', 'is_retry')
    call('ZREM', MOVING, run.id)
    call('HDEL', run_key(run.id), 'moving_to', 'nominal_ms', 'is_retry')
    if found[1] then call('ZADD', schedule_key(run.deployment, run.schedule) .. ':runs', found[1], run.id) end
    if queue ~= '' then run.queue = queue end
    place(run, run.due, found[2] == '1')
    run_event('moved', run.id, run.queue, 'SCHEDULED', '', run.epoch)
    count = count + 1
  end
end
settle(math.max(1, math.min(count, 4)))
return { 'returned', count }

#!lua flags=allow-oom
-- Takes up to 64 runs for a consumer, by queue priority, run priority, due time and id; or parks the consumer.
-- Moves: claim SCHEDULED -> PENDING
-- KEYS[1] pool: hash
-- ARGV[2] consumer; ARGV[3] request; ARGV[4] want; ARGV[5] load
-- Returns: claimed lease_ms:int template_id:str duties:list run:list*
-- Returns: parked lease_ms:int duties:list block_ms:int reason:str is_timer:int
-- Returns: NOPOOL
-- Returns: UNKNOWN
-- Twice: the same request gets the same answer and changes nothing
-- Cost: O(k log N) for k runs; independent of the number of queues, but for prefixes and filters
if not pool.exists then return { 'NOPOOL' } end
local consumer, request, want, load = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local me = call('HMGET', consumer_key(consumer), 'group', 'request', 'claimed')
if not call('ZSCORE', CONSUMERS, consumer) then return { 'UNKNOWN' } end
local group = me[1]

if me[2] == request then return answered_before(consumer, me[3]) end

pass_time()
local prefetch, selector = parts(group)
local duties = take_duties(20)
unpark(consumer, group)
seen(consumer)
if call('LINDEX', base .. 'wake:' .. consumer, 0) ~= 'control' then call('DEL', base .. 'wake:' .. consumer) end
local ids = {}

local function admit(source, place_key, most)
  local queue = string.match(source, '^[^/]+')
  local popped = call('ZPOPMIN', place_key(source), most)
  for place_at = 1, #popped, 2 do
    local id = popped[place_at]
    if pool.filters then leave(place_key, queue, id) end
    local epoch = call('HINCRBY', run_key(id), 'epoch', 1)
    call('HSET', run_key(id), 'state', 'PENDING', 'consumer', consumer, 'claimed_ms', int(now))
    hold({ id = id, queue = queue }, consumer)
    run_event('claimed', id, queue, 'PENDING', consumer, epoch)
    ids[#ids + 1] = id
  end
  want = want - #popped / 2
  refresh(queue)
end

local free = pool.paused and 0 or pool_free()
want = math.min(want, free, 64)
local others = call('ZCARD', parked_key(group)) + call('ZCOUNT', woken_key(group), '(' .. int(now), '+inf')
if others > 0 and want > 1 then -- idle consumers beside this one get their share
  want = math.min(want, math.max(1, math.ceil(available(group, 64 * (others + 1)) / (others + 1))))
end
while want > 0 do
  local source = matching(selector, ADMISSIBLE, 1)[1]
  if not source then break end
  admit(source, ready_key, math.min(want, free_of(source)))
end
while want > 0 and prefetch > 0 do
  local early = matching(selector, EARLY, 1)
  if not early[1] or tonumber(early[2]) > now + prefetch then break end
  admit(early[1], due_key, 1)
end

if ids[1] then
  local stamped, reply = {}, { 'claimed', pool.lease_ms, pool.template_id, duties }
  for place_at, id in ipairs(ids) do
    reply[#reply + 1] = described(id)
    stamped[place_at] = id .. ':' .. reply[#reply][2]
  end
  call('HSET', consumer_key(consumer), 'request', request, 'claimed', table.concat(stamped, ' '))
  settle(2)
  return reply
end
local reason = pool.paused and 'paused' or free <= 0 and 'full' or 'empty'
local block_ms, is_timer = park(consumer, group, load)
call('HSET', consumer_key(consumer), 'request', request,
  'claimed', 'parked ' .. pool.lease_ms .. ' ' .. int(block_ms) .. ' ' .. reason .. ' ' .. is_timer)
settle(2)
return { 'parked', pool.lease_ms, duties, block_ms, reason, is_timer }

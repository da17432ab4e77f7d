-- Fragment: one consumer: that it was heard of, that it is awake, that it is gone.

-- The consumer was heard of: it counts as online for three heartbeats.
local function seen(consumer)
  call('ZADD', CONSUMERS, int(now + 3 * math.min(pool.lease_ms / 3, 10000)), consumer)
  call('HSET', consumer_key(consumer), 'seen_ms', int(now))
end

-- The consumer is awake: it is neither parked nor owes an answer.
local function unpark(consumer, group)
  call('ZREM', parked_key(group), consumer)
  call('ZREM', woken_key(group), consumer)
  call('ZREM', TIMERS, consumer)
end

-- Takes a consumer off the list and its doorbell down; what it holds is lost to it. Returns how many runs that were.
local function forget(consumer, message)
  local group = call('HGET', consumer_key(consumer), 'group')
  if group then unpark(consumer, group) end
  local held = call('SMEMBERS', holdings_key(consumer))
  for _, run in ipairs(held) do lose(read_run(run), message) end
  call('ZREM', CONSUMERS, consumer)
  call('DEL', base .. 'wake:' .. consumer)
  call('PEXPIRE', consumer_key(consumer), 604800000) -- its runs name it for a week yet
  return #held
end

-- The answer to a claim once more, since the reply was lost: what was given stands, and what became of it since is told
-- by heartbeats.
local function answered_before(consumer, said)
  local lease_ms, block_ms, reason, is_timer = string.match(said, '^parked (%d+) (%d+) (%a+) (%d)$')
  if block_ms then return { 'parked', tonumber(lease_ms), {}, tonumber(block_ms), reason, tonumber(is_timer) } end
  local reply = { 'claimed', pool.lease_ms, pool.template_id, {} }
  for id, epoch in string.gmatch(said, '(%w+):(%d+)') do
    if held_by(read_run(id), consumer, epoch) then reply[#reply + 1] = described(id) end
  end
  return reply
end

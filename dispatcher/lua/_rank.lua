-- Fragment: unique priorities of a pool's queues.

local function lowest_free()
  local number = 1
  while call('ZCOUNT', QUEUES, number, number) > 0 do number = number + 1 end
  return number
end

-- Gives the queue its number. Whoever has it moves up one, pushing on as far as numbers are taken; gaps stay.
local function rank(queue, number)
  call('ZREM', QUEUES, queue)
  local mover, at = queue, number
  while mover do
    local holder = call('ZRANGE', QUEUES, at, at, 'BYSCORE')[1]
    call('ZADD', QUEUES, at, mover)
    touch(mover)
    if mover ~= queue then event('queue-set', 'queue', mover, 'name', 'priority', 'value', int(at)) end
    mover, at = holder, at + 1
  end
  return number
end

-- Fragment: runs that go from pool to pool. Each going out of a run has a number, which grows; and of each the pool that
-- it was to come to decides once, whatever is said twice or late: it came, or it was refused.
local MOVED_MS = 86400000 -- so long a pool knows of a run that is not there any more

-- Keeps the number with which a run was here last, or (` refused`) is not taken in any more.
local function remember_move(run, moves, word)
  local known = call('GET', moved_key(run))
  if known and tonumber(string.match(known, '^%d+')) >= moves then return end
  call('SET', moved_key(run), int(moves) .. (word or ''), 'PX', MOVED_MS)
end

-- What became of this going out here: `arrived`, also when the run has gone on since, `refused`, or still `open`.
local function arrival(run, moves)
  local here = call('HGET', run_key(run), 'moves')
  if here and tonumber(here) >= moves then return 'arrived' end
  local number, word = string.match(call('GET', moved_key(run)) or '', '^(%d+) ?(%a*)$')
  if not number or tonumber(number) < moves then return 'open' end
  return word == 'refused' and tonumber(number) == moves and word or 'arrived'
end

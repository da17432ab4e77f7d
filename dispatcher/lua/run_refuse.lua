#!lua flags=allow-oom
-- Decides of runs that were to come here from another pool: they have come, or they are not taken in any more by that
-- going out. In a pool that is gone, too: what it had taken in was cancelled with it.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2...] per run: run, moves
-- Returns: decided refused_run:str*
-- Twice: answers the same
-- Cost: O(1) a run
local reply = { 'decided' }
for place_at = 2, #ARGV, 2 do
  local id, moves = ARGV[place_at], tonumber(ARGV[place_at + 1])
  local word = arrival(id, moves)
  if word == 'open' then remember_move(id, moves, ' refused') end
  if word ~= 'arrived' then reply[#reply + 1] = id end
end
return reply

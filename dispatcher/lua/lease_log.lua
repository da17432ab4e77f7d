#!lua
-- Appends lines of output to the log of a held run. An entry's id is the line's number, from 1 over all attempts.
-- Beyond its bound in bytes the oldest lines go; each line counts 64 more than it holds, about what it costs to keep.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] consumer; ARGV[3] run; ARGV[4] epoch; ARGV[5] most bytes kept; ARGV[6...] line
-- Returns: logged
-- Returns: NOPOOL
-- Returns: FENCED
-- Twice: repeats the lines, so it is not resent
-- Cost: O(lines)
if not pool.exists then return { 'NOPOOL' } end
local id, most = ARGV[3], tonumber(ARGV[5])
if not held_by(read_run(id), ARGV[2], ARGV[4]) then return { 'FENCED' } end
local counted = call('HMGET', run_key(id), 'log_bytes', 'log_lines')
local bytes, number = tonumber(counted[1] or 0), tonumber(counted[2] or 0)
for place_at = 6, #ARGV do
  number = number + 1
  call('XADD', run_key(id) .. ':log', int(number) .. '-0', 'ms', int(now), 'line', ARGV[place_at])
  bytes = bytes + #ARGV[place_at] + 64
end
while bytes > most do
  local oldest = call('XRANGE', run_key(id) .. ':log', '-', '+', 'COUNT', 1)[1]
  if not oldest then break end
  call('XDEL', run_key(id) .. ':log', oldest[1])
  bytes = bytes - #oldest[2][4] - 64
end
call('HSET', run_key(id), 'log_bytes', int(bytes), 'log_lines', int(number))
return { 'logged' }

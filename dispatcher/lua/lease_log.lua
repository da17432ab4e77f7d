#!lua
-- Appends lines of output to the log of a held run.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV[2] consumer; ARGV[3] run; ARGV[4] epoch; ARGV[5] most lines kept; ARGV[6...] line
-- Returns: logged
-- Returns: NOPOOL
-- Returns: FENCED
-- Twice: repeats the lines, so it is not resent
-- Cost: O(lines)
if not pool.exists then return { 'NOPOOL' } end
local id = ARGV[3]
if not held_by(read_run(id), ARGV[2], ARGV[4]) then return { 'FENCED' } end
for place_at = 6, #ARGV do
  call('XADD', run_key(id) .. ':log', 'MAXLEN', '~', ARGV[5], '*', 'ms', int(now), 'line', ARGV[place_at])
end
return { 'logged' }

#!lua flags=allow-oom
-- Hands out the duties whose time has come, to a scheduler that takes no runs.
-- Moves: none
-- KEYS[1] pool: hash
-- ARGV: none
-- Returns: duties next_ms:int duty:str*
-- Returns: NOPOOL
-- Twice: hands out what is left; what was handed out comes again in 5 s
-- Cost: O(log N) for each of at most 20
if not pool.exists then return { 'NOPOOL' } end
pass_time()
local reply = { 'duties', 60000, unpack(take_duties(20)) }
local head = tonumber(call('ZRANGE', DUTIES, 0, 0, 'WITHSCORES')[2])
if head then reply[2] = math.max(0, math.min(60000, head - now)) end
settle(4)
return reply

-- Fragment: duties of the pool, which whoever looks next does for it: `schedule:<deployment>:<id>` makes the runs that
-- come next, `move:<deployment>` takes waiting runs after a deployment that went to another pool, and
-- `requeue:<deployment>:<queue>` after one that left this queue. The work itself needs Python, so a script only hands
-- duties out.

local TAKEN_MS = 5000 -- so long a duty is left to the one who took it; it may die, then another gets it

-- Up to `most` duties whose time has come, for the caller to do.
local function take_duties(most)
  local due = call('ZRANGE', DUTIES, '-inf', int(now), 'BYSCORE', 'LIMIT', 0, most)
  for _, duty in ipairs(due) do call('ZADD', DUTIES, int(now + TAKEN_MS), duty) end
  return due
end

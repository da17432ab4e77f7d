-- Fragment: runs that a schedule makes: when they overlap, when they expire, and how a schedule is taken back.
-- Moves: overlap SCHEDULED -> CANCELLED
-- Moves: overlap PENDING RUNNING -> CANCELLING
-- Moves: outlast SCHEDULED -> CANCELLED

local SKIPPED = 'skipped: an earlier run of its schedule is not finished'
local AGAIN_MS = 1000 -- so soon a run that waits for an earlier one to be stopped is looked at again

-- Whether the schedule has a run of this time that is not finished: it may have come with its deployment, or was claimed
-- before the schedule was changed.
local function is_made(deployment, id, nominal)
  return call('ZCOUNT', schedule_key(deployment, id) .. ':runs', nominal, nominal) > 0
end

-- The runs of its schedule that a run must not overlap with: those before it that are not finished, and those that
-- wait for their next attempt or make one.
local function unfinished_before(run)
  local found = {}
  for _, id in ipairs(call('ZRANGE', schedule_key(run.deployment, run.schedule) .. ':runs', 0, -1)) do
    local other = id ~= run.id and read_run(id)
    local is_earlier = other and (other.due < run.due or (other.due == run.due and other.id < run.id))
    if is_earlier or (other and other.attempts > 0) then found[#found + 1] = other end
  end
  return found
end

-- Whether a run whose time has come may become ready, as its schedule says about those before it: `skip` cancels it;
-- `cancel_running` cancels them, and lets it wait until they have ended.
local function may_begin(run)
  local is_free = true
  for _, other in ipairs(unfinished_before(run)) do
    if run.overlap == 'skip' then
      cancel_waiting(run, SKIPPED)
      return false
    elseif HELD[other.state] then
      is_free = false
      ask_to_stop(other)
    else
      cancel_waiting(other, 'cancelled: a later run of its schedule takes its place')
    end
  end
  if is_free then return true end
  enter(retry_key, run.queue, run.id, int(now + AGAIN_MS))
  return false
end

-- Cancels up to `most` runs that were not started by the time from which on they are not worth it.
local function outlast(most)
  for _, id in ipairs(call('ZRANGE', EXPIRING, '-inf', int(now), 'BYSCORE', 'LIMIT', 0, most)) do
    local run = read_run(id)
    call('ZREM', EXPIRING, id)
    if run.state == 'SCHEDULED' and run.attempts == 0 then
      local is_skipped = run.overlap == 'skip' and unfinished_before(run)[1]
      cancel_waiting(run, is_skipped and SKIPPED or 'expired: it was not started in time')
    end
  end
end

-- Takes back the runs that the schedule has made and nobody has claimed; unless `all`, those of the future. One whose
-- time has come and that is only put off is not: no schedule would make it again. A schedule has at most a hundred.
-- Returns how many.
local function take_back(deployment, id, all)
  local count = 0
  local since = all and '-inf' or '(' .. int(now)
  for _, run_id in ipairs(call('ZRANGE', schedule_key(deployment, id) .. ':runs', since, '+inf', 'BYSCORE')) do
    local run = read_run(run_id)
    if run.state == 'SCHEDULED' and run.attempts == 0 then
      unplace(run)
      erase(run)
      run_event('taken-back', run_id, run.queue, run.state, '', run.epoch)
      count = count + 1
    end
  end
  return count
end

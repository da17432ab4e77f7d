-- Fragment: asking a consumer to stop a run that it holds.

-- Rings a consumer's doorbell. At most one token lies there; control outranks the others.
local function ring(consumer, token)
  local key = base .. 'wake:' .. consumer
  if token == 'control' then call('DEL', key) elseif call('EXISTS', key) == 1 then return end
  call('RPUSH', key, token)
  call('PEXPIRE', key, 60000)
end

-- Asks the holder of a run to stop it, now and in every heartbeat. False: it was asked before.
local function ask_to_stop(run)
  ring(run.consumer, 'control')
  if run.state == 'CANCELLING' then return false end
  call('HSET', run_key(run.id), 'state', 'CANCELLING', 'cancelling_ms', int(now))
  run_event('cancelling', run.id, run.queue, 'CANCELLING', run.consumer, run.epoch)
  return true
end

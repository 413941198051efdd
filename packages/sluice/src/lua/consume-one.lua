-- Consumes on one debit whose state is one value. Twin of consumeOne in algorithms/decide.ts, statement by statement,
-- in a loop for the calls that fold: those on the same key share what cannot change between them, and all that
-- follow one that changed nothing are as it.

-- The state of KEYS[at] into `s`; returns why not, if not.
local function load(kernel, s, at)
  local value = values[at]
  if value then
    if not kernel.unpack(s, value) then return WRONG_FORMAT end
  elseif call('EXISTS', KEYS[at]) == 1 then
    return WRONG_TYPE
  else
    kernel.clear(s)
  end
end

-- So many calls of one cost on KEYS[at].
local function consume(kernel, p, s, cost, blockFor, at, calls)
  local getAvailable, isReady, timeToFull = kernel.available, kernel.ready, kernel.timeToFull
  if s.expiry > 0 and raw >= s.expiry * 1000 then kernel.clear(s) end
  local now = s.last > raw and s.last or raw
  kernel.advance(s, p, now)
  local behind, written = now - raw, false
  local reservations = s.reservations
  if reservations and reservations.ends < now then reservations, s.reservations = nil, nil end

  local available = getAvailable(s, p, now)
  while calls > 0 do
    calls = calls - 1
    local readiness, reason, changed = READY, OK, false
    if cost > p.capacity then
      reason = TOO_COSTLY
    elseif raw < s.blocked then
      reason = BLOCKED
    elseif cost > available then
      reason = QUOTA
    end
    if reason == OK then
      if cost > 0 then
        if isReady then readiness = isReady(s, p, now) end
        changed = readiness == READY
      end
      if changed then
        kernel.take(s, p, cost, now)
        if reservations then reservations.sold = reservations.sold + cost end
        available = getAvailable(s, p, now)
      end
    elseif reason == QUOTA and blockFor > 0 and cost > 0 then
      s.blocked = raw + blockFor
      changed = true
    end

    local blocked = s.blocked > raw and s.blocked - raw or 0
    local wait = 0
    if reason == TOO_COSTLY then
      wait = NEVER
    elseif reason ~= OK then
      if cost > available then wait = kernel.timeUntil(s, p, cost, now) + behind end
      if blocked > wait then wait = blocked end
    end
    local reset = timeToFull(s, p, now)
    if reservations and reservations.ends - now >= reset then reset = reservations.ends + 1 - now end
    if reset > 0 then reset = reset + behind end
    if blocked > reset then reset = blocked end

    local expiresAt = s.expiry * 1000
    if changed then
      s.last = now
      written = true
      local soonest = reset > behind and raw + reset or now
      local latest = soonest + (reset > MIN_SLACK and reset or MIN_SLACK)
      if expiresAt < soonest or expiresAt > latest then
        s.expiry = floor(latest / 1000)
        s.moved = true
      end
    elseif expiresAt > 0 then
      local left = expiresAt - raw
      if wait > left then wait = left end
      if reset > left then reset = left end
    end

    local head = readiness
    if behind > 0 then
      reply[n + 2] = now
      head = head + TIME_FOLLOWS
    end
    local last = behind > 0 and n + 2 or n + 1
    if readiness == READY then
      reply[last + 1], reply[last + 2] = available, reset
      last = last + 2
      if reason ~= OK then
        head = head + REASONS_FOLLOW
        reply[last + 1], reply[last + 2] = reason, wait
        last = last + 2
      end
    end
    if not changed and calls > 0 then
      head = head + REPEATS_FOLLOW
      last = last + 1
      reply[last] = calls
      calls = 0
    end
    reply[n + 1] = head
    n = last
  end

  if written then store(at, kernel.pack(s), s) end
end

return function(index, cost, blockFor, at, calls)
  local policy = policyOf(index)
  local s = policy.kernel.fresh()
  local failure = load(policy.kernel, s, at)
  if not failure then
    consume(policy.kernel, policy.params, s, cost, blockFor, at, calls)
  elseif calls > 1 then
    reply[n + 1], reply[n + 2] = failure + REPEATS_FOLLOW, calls - 1
    n = n + 2
  else
    n = n + 1
    reply[n] = failure
  end
end

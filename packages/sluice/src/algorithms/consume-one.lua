-- Consumes of one cost on one key whose state is one value. Twin of consumeOne in decide.ts, statement by statement, in a
-- loop: what cannot change between the calls is computed once, and after a call that changes nothing the rest get the
-- same answer.
-- What became of them goes to the reply at once, as the head of stores/redis/scripts/consume.lua says; what it returns is
-- the readiness of the last of them, and its time.
--
-- @const REASON, NEVER from algorithms/debit.ts
-- @const FOREVER_US from algorithms/decide.ts
-- @const READY from algorithms/kernel.ts
-- @const TIME_FOLLOWS, REASONS_FOLLOW, REPEATS_FOLLOW from stores/redis/wire.ts
local function consumeOne(kernel, p, s, cost, duration, at, calls)
  local getAvailable, isReady, timeToFull = kernel.available, kernel.ready, kernel.timeToFull
  if s.expiry > 0 and raw >= s.expiry * 1000 then kernel.clear(s) end
  local now = s.last > raw and s.last or raw
  kernel.advance(s, p, now)
  local behind, written, reset = now - raw, false, 0
  local reservations = s.reservations
  if reservations and reservations.ends < now then reservations, s.reservations = nil, nil end

  local available, readiness = getAvailable(s, p, now), READY
  while calls > 0 do
    calls = calls - 1
    local reason, changed = REASON.ok, false
    readiness = READY
    if cost > p.capacity then
      reason = REASON.tooCostly
    elseif raw < s.blockedUntil then
      reason = REASON.blocked
    elseif cost > available then
      reason = REASON.quota
    end
    if reason == REASON.ok then
      if cost > 0 then
        if isReady then readiness = isReady(s, p, now) end
        changed = readiness == READY
      end
      if changed then
        kernel.take(s, p, cost, now)
        if reservations and reservations.sold > 0 then reservations.sold = reservations.sold + cost end
        available = getAvailable(s, p, now)
      end
    elseif reason == REASON.quota and duration > 0 and cost > 0 then
      s.blockedUntil = math.min(raw + duration, FOREVER_US)
      changed = true
    end

    local blocked = s.blockedUntil > raw and s.blockedUntil - raw or 0
    local wait = 0
    if reason == REASON.tooCostly then
      wait = NEVER
    elseif reason ~= REASON.ok then
      if cost > available then wait = kernel.timeUntil(s, p, cost, now) + behind end
      if blocked > wait then wait = blocked end
    end
    reset = timeToFull(s, p, now)
    if reservations and reservations.ends - now >= reset then reset = reservations.ends + 1 - now end
    if reset > 0 then reset = reset + behind end
    if blocked > reset then reset = blocked end

    local expiry = s.expiry
    local expiresAt = expiry * 1000
    if changed then
      s.last = now
      written = true
      local soonest = reset > behind and raw + reset or now
      -- @include algorithms/expiry.lua
      if moved then s.expiry, s.moved = expiry, true end
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
      if reason ~= REASON.ok then
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

  if written and reset > 0 then
    store(at, kernel.pack(s), s)
  elseif written and values[at] then
    -- Nothing counts what is unlimited: the state is the same as none.
    call('DEL', KEYS[at])
    values[at] = false
  end
  return readiness, now
end

-- The verbs, written once over all kernels. Twin of algorithms/decide.ts, statement by statement.
local function grant(verb, debits, result)
  local most = math.huge
  for i = 1, #debits do
    local debit = debits[i]
    if debit.cost < most then most = debit.cost end
    if verb == CONSUME_UP_TO then
      local available = debit.kernel.available(debit.state, debit.params, result.now)
      most = min(most, floor(available / UNIT) * UNIT)
    end
  end
  if not ready(debits, result) then return end
  for i = 1, #debits do
    local debit = debits[i]
    local amount = verb == CONSUME_UP_TO and most or debit.cost
    if amount > 0 then
      debit.kernel.take(debit.state, debit.params, amount, result.now)
      record(debit.state, amount)
      result.changed = true
    end
  end
  result.granted = most
end

local function block(debits, untilRaw, result, keepsLonger)
  for i = 1, #debits do
    local state = debits[i].state
    if not (keepsLonger and state.blocked >= untilRaw) then
      state.blocked = untilRaw
      result.changed = true
    end
  end
end

local function change(verb, debits, untilRaw, result)
  if verb == BLOCK or verb == EXTEND_BLOCK then
    block(debits, untilRaw, result, verb == EXTEND_BLOCK)
  elseif verb == UNBLOCK then
    block(debits, 0, result)
  elseif verb == REFUND and hasReservations(debits) then
    -- Nothing comes back before its time.
  elseif verb == REFUND or (verb == PENALIZE and ready(debits, result)) then
    for i = 1, #debits do
      local debit = debits[i]
      if debit.cost > 0 then
        if verb == PENALIZE then
          debit.kernel.take(debit.state, debit.params, debit.cost, result.now)
        else
          debit.kernel.giveBack(debit.state, debit.params, debit.cost)
        end
        result.changed = true
      end
    end
  elseif verb == RESET then
    for i = 1, #debits do
      local debit = debits[i]
      debit.kernel.clear(debit.state)
      debit.kernel.advance(debit.state, debit.params, result.now)
    end
    result.changed = true
  end
end

local function decide(verb, debits, raw, duration, result, receipt)
  local now = raw
  for i = 1, #debits do
    local debit = debits[i]
    local state = debit.state
    if state.expiry > 0 and raw >= state.expiry * 1000 then debit.kernel.clear(state) end
    if state.last > now then now = state.last end
  end
  result.readiness, result.now, result.granted, result.changed = READY, now, 0, false
  for i = 1, #debits do
    local debit = debits[i]
    debit.kernel.advance(debit.state, debit.params, now)
    expireReservations(debit.state, now)
  end

  if verb == CANCEL then
    cancel(debits, receipt, result)
  elseif verb >= REFUND then
    change(verb, debits, raw + duration, result)
  end
  local fits, barred = true, false
  for i = 1, #debits do
    local debit = debits[i]
    local asked = 0
    if verb == CONSUME or verb == PEEK or verb == RESERVE then
      asked = debit.cost
    elseif verb == CONSUME_UP_TO then
      asked = UNIT
    end
    debit.asked = asked
    if asked > debit.params.capacity then
      debit.reason = TOO_COSTLY
    elseif raw < debit.state.blocked then
      debit.reason = BLOCKED
    else
      debit.reason = asked > debit.kernel.available(debit.state, debit.params, now) and QUOTA or OK
    end
    if debit.reason ~= OK then fits = false end
    -- Who asks for nothing changes nothing: not even a denial of it, in debt, blocks.
    if debit.reason > QUOTA or asked == 0 then barred = true end
  end
  local refused = 0
  if verb == RESERVE then
    refused = reserve(debits, raw, duration, result)
  elseif fits and verb <= CONSUME_UP_TO then
    grant(verb, debits, result)
  elseif not fits and not barred and verb == CONSUME and duration > 0 then
    block(debits, raw + duration, result)
  end

  local behind = now - raw
  for i = 1, #debits do
    local debit = debits[i]
    local kernel, state, params = debit.kernel, debit.state, debit.params
    local blocked = state.blocked > raw and state.blocked - raw or 0
    debit.available = kernel.available(state, params, now)
    local wait = 0
    if debit.reason == TOO_COSTLY then
      wait = NEVER
    elseif debit.reason ~= OK then
      if debit.asked > debit.available then wait = kernel.timeUntil(state, params, debit.asked, now) + behind end
      if blocked > wait then wait = blocked end
    end
    local reset = kernel.timeToFull(state, params, now)
    local reservations = state.reservations
    if reservations and reservations.ends - now >= reset then reset = reservations.ends + 1 - now end
    if reset > 0 then reset = reset + behind end
    if blocked > reset then reset = blocked end

    local expiresAt = state.expiry * 1000
    if result.changed then
      state.last = now
      local soonest = reset > behind and raw + reset or now
      local latest = soonest + (reset > MIN_SLACK and reset or MIN_SLACK)
      if expiresAt < soonest or expiresAt > latest then
        state.expiry = floor(latest / 1000)
        state.moved = true
      end
    elseif expiresAt > 0 then
      local left = expiresAt - raw
      if wait > left then wait = left end
      if reset > left then reset = left end
    end
    debit.wait = wait
    if refused > wait and debit.reason == QUOTA then debit.wait = refused end
    debit.reset = reset
  end
end

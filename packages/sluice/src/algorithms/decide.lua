-- The verbs, written once over all kernels. Twin of decide.ts, statement by statement; `measure` is inline, because a
-- function call costs as much as one of its lines.
--
-- @const VERBS from algorithms/decide.ts
-- @const REASON, NEVER from algorithms/debit.ts
-- @const READY, UNLIMITED from algorithms/kernel.ts
-- @const FOREVER_US from algorithms/decide.ts
-- @const UNIT from core/amount.ts

-- Declared before their first use, because functions are in the twin's order.
local grant, block, forget, change, refund

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

  if verb == VERBS.cancel then
    cancel(debits, receipt, result)
  elseif verb >= VERBS.refund then
    change(verb, debits, raw, duration, result)
  end
  local fits, barred = true, false
  for i = 1, #debits do
    local debit = debits[i]
    local asked = 0
    if verb == VERBS.consume or verb == VERBS.peek or verb == VERBS.reserve then
      asked = debit.cost
    elseif verb == VERBS.consumeUpTo then
      asked = UNIT
    end
    debit.asked = asked
    if asked > debit.params.capacity then
      debit.reason = REASON.tooCostly
    elseif raw < debit.state.blockedUntil then
      debit.reason = REASON.blocked
    else
      debit.reason = asked > debit.kernel.available(debit.state, debit.params, now) and REASON.quota or REASON.ok
    end
    if debit.reason ~= REASON.ok then fits = false end
    -- A cost of 0 changes nothing: even if it is denied, because of a debt, it starts no block.
    if debit.reason > REASON.quota or asked == 0 then barred = true end
  end
  local refused = 0
  if verb == VERBS.reserve then
    refused = reserve(debits, raw, duration, result)
  elseif fits and verb <= VERBS.consumeUpTo then
    grant(verb, debits, result)
  elseif not fits and not barred and verb == VERBS.consume and duration > 0 then
    block(debits, raw + duration, result)
  end

  local behind = now - raw
  for i = 1, #debits do
    local debit = debits[i]
    local kernel, state, params = debit.kernel, debit.state, debit.params
    local blocked = state.blockedUntil > raw and state.blockedUntil - raw or 0
    debit.available = kernel.available(state, params, now)
    local wait = 0
    if debit.reason == REASON.tooCostly then
      wait = NEVER
    elseif debit.reason ~= REASON.ok then
      if debit.asked > debit.available then wait = kernel.timeUntil(state, params, debit.asked, now) + behind end
      if blocked > wait then wait = blocked end
    end
    local reset = kernel.timeToFull(state, params, now)
    local reservations = state.reservations
    if reservations and reservations.ends - now >= reset then reset = reservations.ends + 1 - now end
    if reset > 0 then reset = reset + behind end
    if blocked > reset then reset = blocked end

    local expiry = state.expiry
    local expiresAt = expiry * 1000
    if result.changed then
      state.last = now
      local soonest = reset > behind and raw + reset or now
      -- @include algorithms/expiry.lua
      if moved then state.expiry, state.moved = expiry, true end
    elseif expiresAt > 0 then
      local left = expiresAt - raw
      if wait > left then wait = left end
      if reset > left then reset = left end
    end
    debit.wait = wait
    if refused > wait and debit.reason == REASON.quota then debit.wait = refused end
    debit.reset = reset
  end
end

function grant(verb, debits, result)
  local most = math.huge
  for i = 1, #debits do
    local debit = debits[i]
    if debit.cost < most then most = debit.cost end
    if verb == VERBS.consumeUpTo then
      local available = debit.kernel.available(debit.state, debit.params, result.now)
      most = min(most, floor(available / UNIT) * UNIT)
    end
  end
  if not ready(debits, result) then return end
  for i = 1, #debits do
    local debit = debits[i]
    local amount = verb == VERBS.consumeUpTo and most or debit.cost
    if amount > 0 then
      debit.kernel.take(debit.state, debit.params, amount, result.now)
      record(debit.state, amount)
      result.changed = true
    end
  end
  result.granted = most
end

function block(debits, untilRaw, result, keepsLonger)
  for i = 1, #debits do
    local state = debits[i].state
    if not (keepsLonger and state.blockedUntil >= untilRaw) then
      state.blockedUntil = min(untilRaw, FOREVER_US)
      result.changed = true
    end
  end
end

function forget(debits, raw, result)
  for i = 1, #debits do
    local debit = debits[i]
    local state = debit.state
    local blockedUntil, reservations = state.blockedUntil, state.reservations
    debit.kernel.clear(state)
    debit.kernel.advance(state, debit.params, result.now)
    state.blockedUntil = blockedUntil
    state.reservations = emptied(reservations, raw, result.now)
  end
  result.changed = true
end

function change(verb, debits, raw, duration, result)
  if verb >= VERBS.clearBlock then forget(debits, raw, result) end
  if verb == VERBS.block or verb >= VERBS.extendBlock then
    block(debits, raw + duration, result, verb == VERBS.extendBlock or verb == VERBS.clearExtendBlock)
  elseif verb == VERBS.unblock then
    block(debits, 0, result)
  elseif verb == VERBS.refund then
    refund(debits, result)
  elseif verb == VERBS.penalize and ready(debits, result) then
    for i = 1, #debits do
      local debit = debits[i]
      if debit.cost > 0 then
        debit.kernel.take(debit.state, debit.params, debit.cost, result.now)
        result.changed = true
      end
    end
  elseif verb == VERBS.reset then
    block(debits, 0, result)
    forget(debits, raw, result)
  end
end

function refund(debits, result)
  local now = result.now
  local most = refundable(debits, now)
  local least = math.huge
  for i = 1, #debits do
    local debit = debits[i]
    local kernel, state, params = debit.kernel, debit.state, debit.params
    local amount = min(debit.cost, most)
    local before = kernel.available(state, params, now)
    if amount > 0 then
      kernel.giveBack(state, params, amount)
      result.changed = true
    end
    if params.capacity ~= UNLIMITED then
      least = min(least, kernel.available(state, params, now) - before)
    end
  end
  result.granted = least == math.huge and 0 or least
end

-- Waiting for a start that was promised. Twin of reservations.ts, statement by statement; but what a state holds of
-- them is changed in place.
--
-- @const REASON from algorithms/debit.ts
-- @const UNLIMITED from algorithms/kernel.ts
-- @const NO_RECEIPT from algorithms/reservations.ts

-- Declared before their first use, because functions are in the twin's order.
local charge, sameReservations, append, unrecord

local function expireReservations(state, now)
  if state.reservations and state.reservations.ends < now then state.reservations = nil end
end

local function emptied(reservations, raw, now)
  if not reservations or reservations.opened < raw then return nil end
  local opened = max(reservations.opened, now) + 1
  return { opened = opened, sold = 0, ends = opened }
end

local function record(state, amount)
  local reservations = state.reservations
  if reservations and reservations.sold > 0 then reservations.sold = reservations.sold + amount end
end

local function refundable(debits, now)
  local most = math.huge
  for i = 1, #debits do
    local debit = debits[i]
    local reservations = debit.state.reservations
    local isWaiting = reservations and reservations.sold > 0
    if isWaiting and debit.kernel.levelAt and debit.params.capacity ~= UNLIMITED then
      local behind = debit.kernel.levelAt(debit.state, debit.params, reservations.ends, now) - reservations.sold
      if behind < most then most = behind end
    end
  end
  return most > 0 and most or 0
end

local function reserve(debits, raw, maxWait, result)
  local now = result.now
  local first = debits[1]
  local isQueue = #debits == 1 and first.params.reservations ~= nil and first.params.reservations.strict
  local wait, isFull, canWait = 0, false, true
  for i = 1, #debits do
    local debit = debits[i]
    local kernel, params, state, cost = debit.kernel, debit.params, debit.state, debit.cost
    if debit.reason > REASON.quota then return 0 end
    debit.wait = 0
    if isQueue then
      debit.wait = kernel.timeToFull(state, params, now)
    elseif debit.reason == REASON.quota then
      debit.wait = kernel.timeUntil(state, params, cost, now)
    end
    local available = kernel.available(state, params, now)
    if isQueue and cost > available then isFull = true end
    local inUse = params.capacity - available + cost
    local rules = params.reservations
    if not rules or inUse > rules.maximum or (rules.alone and #debits > 1) then canWait = false end
    if debit.wait > wait then wait = debit.wait end
  end
  local delay = wait > 0 and wait + now - raw or 0
  if isFull or delay > maxWait or (delay > 0 and not canWait) then
    if not isQueue or isFull then return 0 end
    first.reason = REASON.quota
    return delay
  end
  if not ready(debits, result) then return 0 end

  result.charges = charge(debits, isQueue, wait, result)
  local reservations = first.state.reservations
  result.wait, result.opened, result.sold = wait, now, 0
  if not sameReservations(debits) then
    result.opened, result.sold = NO_RECEIPT.openedUs, NO_RECEIPT.sold
  elseif reservations then
    result.opened, result.sold = reservations.opened, reservations.sold
  end
  return 0
end

function charge(debits, isQueue, wait, result)
  local now = result.now
  local charges = {}
  local least = math.huge
  for i = 1, #debits do
    local debit = debits[i]
    local kernel, params, state, cost = debit.kernel, debit.params, debit.state, debit.cost
    debit.reason = REASON.ok
    if cost < least then least = cost end
    local extra = 0
    local line = state.reservations
    local ended = line and line.ends or 0
    local lastStart = line and line.sold > 0 and ended or 0
    if cost > 0 then
      if debit.wait > 0 and kernel.reserve then
        extra = kernel.reserve(state, params, cost, isQueue, debit.wait, now)
        if now + wait <= lastStart and not params.reservations.alone then extra = 0 end
      else
        kernel.take(state, params, cost, now)
      end
      record(state, cost)
      if wait > 0 then append(debit, now + wait, now) end
      result.changed = true
    end
    charges[i] = { extra = extra, ended = ended }
  end
  result.granted = least
  return charges
end

function sameReservations(debits)
  local reservations = debits[1].state.reservations
  for i = 2, #debits do
    local other = debits[i].state.reservations
    if (other == nil) ~= (reservations == nil) then return false end
    if reservations and (other.opened ~= reservations.opened or other.sold ~= reservations.sold) then return false end
  end
  return true
end

function append(debit, readyAt, now)
  local state, reservations = debit.state, debit.state.reservations
  if not reservations then
    state.reservations = { opened = now, sold = debit.cost, ends = readyAt }
  else
    if reservations.sold == 0 then reservations.sold = debit.cost end
    if readyAt > reservations.ends then reservations.ends = readyAt end
  end
end

local function cancel(debits, receipt, result)
  if receipt.readyAt < result.now then return end
  if receipt.opened == NO_RECEIPT.openedUs or not sameReservations(debits) then return end
  local kernel, params, state = debits[1].kernel, debits[1].params, debits[1].state
  local reservations = state.reservations
  local isGone, later = receipt.sold > 0 or receipt.opened ~= result.now, 0
  if reservations then isGone, later = reservations.opened ~= receipt.opened, reservations.sold - receipt.sold end
  if isGone or later < 0 then return end

  local rules = params.reservations
  local canSplit = #debits == 1 and not (rules and rules.strict)
  local most = math.huge
  if later > 0 and reservations and rules and rules.alone then
    most = kernel.levelAt(state, params, reservations.ends, result.now)
  end
  local least = math.huge
  for i = 1, #debits do
    local debit, charged = debits[i], receipt.charges[i]
    local amount = debit.cost
    if later > 0 then amount = canSplit and max(0, min(amount, most) - later) or 0 end
    if amount < least then least = amount end
    if amount > 0 then
      debit.kernel.giveBack(debit.state, debit.params, amount, later > 0 and 0 or charged.extra)
      if later == 0 then unrecord(debit.state, receipt, amount, charged.ended) end
      result.changed = true
    end
  end
  result.granted = least
end

function unrecord(state, receipt, amount, ended)
  local reservations = state.reservations
  if not reservations or receipt.sold < amount then return end
  reservations.sold, reservations.ends = reservations.sold - amount, ended
  if reservations.sold == 0 and ended == 0 then state.reservations = nil end
end

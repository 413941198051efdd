-- Waiting in line. Twin of algorithms/line.ts, statement by statement; but a line is changed in place.
local function passLine(state, now)
  if state.line and state.line.ends < now then state.line = nil end
end

local function sell(state, amount)
  local line = state.line
  if line then line.sold = line.sold + amount end
end

local function isInLine(debits)
  for i = 1, #debits do
    if debits[i].state.line then return true end
  end
  return false
end

local function stand(debit, readyAt, now)
  local state, line = debit.state, debit.state.line
  if not line then
    state.line = { opened = now, sold = debit.cost, ends = readyAt }
  elseif readyAt > line.ends then
    line.ends = readyAt
  end
end

-- What a booking says that gives nothing back.
local NO_PLACE = { opened = -1, sold = 0 }

local function isOneLine(debits)
  local line = debits[1].state.line
  for i = 2, #debits do
    local other = debits[i].state.line
    if (other == nil) ~= (line == nil) then return false end
    if line and (other.opened ~= line.opened or other.sold ~= line.sold) then return false end
  end
  return true
end

local function reserve(debits, raw, maxWait, result)
  local now = result.now
  local first = debits[1]
  local isQueue = #debits == 1 and first.params.strict == true
  local wait, isFull, canWait = 0, false, true
  for i = 1, #debits do
    local debit = debits[i]
    local kernel, params, state, cost = debit.kernel, debit.params, debit.state, debit.cost
    if debit.reason > QUOTA then return 0 end
    debit.wait = 0
    if isQueue then
      debit.wait = kernel.timeToFull(state, params, now)
    elseif debit.reason == QUOTA then
      debit.wait = kernel.timeUntil(state, params, cost, now)
    end
    local available = kernel.available(state, params, now)
    if isQueue and cost > available then isFull = true end
    local inUse = params.capacity - available + cost
    if not params.canWait or inUse > params.maximum then canWait = false end
    if debit.wait > wait then wait = debit.wait end
  end
  local delay = wait > 0 and wait + now - raw or 0
  if isFull or delay > maxWait or (delay > 0 and not canWait) then
    if not isQueue or isFull then return 0 end
    first.reason = QUOTA
    return delay
  end
  if not ready(debits, result) then return 0 end

  local least = math.huge
  for i = 1, #debits do
    local debit = debits[i]
    local kernel, params, state, cost = debit.kernel, debit.params, debit.state, debit.cost
    debit.reason = OK
    if cost < least then least = cost end
    if cost > 0 then
      if debit.wait > 0 and kernel.reserve then
        kernel.reserve(state, params, isQueue and cost or params.capacity, debit.wait)
      else
        kernel.take(state, params, cost, now)
      end
      sell(state, cost)
      if wait > 0 then stand(debit, now + wait, now) end
      result.changed = true
    end
  end
  local line = first.state.line
  if not isOneLine(debits) then line = NO_PLACE end
  result.granted, result.wait = least, wait
  result.opened, result.sold = line and line.opened or now, line and line.sold or 0
  return 0
end

local function unsell(state, booking, amount)
  local line = state.line
  if not line or booking.sold < amount then return end
  line.sold = line.sold - amount
  if line.sold == 0 then state.line = nil end
end

local function cancel(debits, booking, result)
  if booking.readyAt < result.now then return end
  if booking.opened == NO_PLACE.opened or not isOneLine(debits) then return end
  local params, line = debits[1].params, debits[1].state.line
  local isGone, later = booking.sold > 0, 0
  if line then isGone, later = line.opened ~= booking.opened, line.sold - booking.sold end
  if isGone or later < 0 then return end

  local canSplit = #debits == 1 and not params.strict
  local least = math.huge
  for i = 1, #debits do
    local debit = debits[i]
    local amount = debit.cost
    if later > 0 then amount = canSplit and amount > later and amount - later or 0 end
    if amount < least then least = amount end
    if amount > 0 then
      debit.kernel.giveBack(debit.state, debit.params, amount)
      if later == 0 then unsell(debit.state, booking, amount) end
      result.changed = true
    end
  end
  result.granted = least
end

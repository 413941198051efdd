-- Waiting in line. Twin of algorithms/line.ts, statement by statement; but a line is changed in place.
local function passLine(state, now)
  if state.line and state.line.ends < now then state.line = nil end
end

local function sell(state, amount)
  local line = state.line
  if line then line.sold = line.sold + amount end
end

local function isInLine(seats)
  for i = 1, #seats do
    if seats[i].state.line then return true end
  end
  return false
end

local function stand(seat, readyAt, now)
  local state, line = seat.state, seat.state.line
  if not line then
    state.line = { opened = now, sold = seat.cost, ends = readyAt }
  elseif readyAt > line.ends then
    line.ends = readyAt
  end
end

local function reserve(seats, raw, maxWait, verdict)
  local now = verdict.now
  local first = seats[1]
  local isQueue = #seats == 1 and first.params.strict == true
  local wait, isFull, canWait = 0, false, true
  for i = 1, #seats do
    local seat = seats[i]
    local kernel, params, state, cost = seat.kernel, seat.params, seat.state, seat.cost
    if seat.standing > QUOTA then return 0 end
    seat.wait = 0
    if isQueue then
      seat.wait = kernel.full(state, params, now)
    elseif seat.standing == QUOTA then
      seat.wait = kernel.wait(state, params, cost, now)
    end
    local room = kernel.room(state, params, now)
    if isQueue and cost > room then isFull = true end
    local inUse = params.capacity - room + cost
    if not params.canWait or inUse > params.maximum then canWait = false end
    if seat.wait > wait then wait = seat.wait end
  end
  local delay = wait > 0 and wait + now - raw or 0
  if isFull or delay > maxWait or (delay > 0 and not canWait) then
    if not isQueue or isFull then return 0 end
    first.standing = QUOTA
    return delay
  end
  if not ready(seats, verdict) then return 0 end

  local least = math.huge
  for i = 1, #seats do
    local seat = seats[i]
    local kernel, params, state, cost = seat.kernel, seat.params, seat.state, seat.cost
    seat.standing = OK
    if cost < least then least = cost end
    if cost > 0 then
      if seat.wait > 0 and kernel.book then
        kernel.book(state, params, isQueue and cost or params.capacity, seat.wait)
      else
        kernel.take(state, params, cost, now)
      end
      sell(state, cost)
      verdict.changed = true
    end
  end
  if wait > 0 and first.cost > 0 then stand(first, now + wait, now) end
  local line = first.state.line
  verdict.granted, verdict.wait = least, wait
  verdict.opened, verdict.sold = line and line.opened or now, line and line.sold or 0
  return 0
end

local function cancel(seats, booking, verdict)
  if booking.readyAt < verdict.now then return end
  local state, params, cost = seats[1].state, seats[1].params, seats[1].cost
  local line = state.line
  local isGone, later = booking.sold > 0, 0
  if line then isGone, later = line.opened ~= booking.opened, line.sold - booking.sold end
  if isGone or later < 0 then return end

  local canSplit = #seats == 1 and not params.strict
  local least = math.huge
  for i = 1, #seats do
    local seat = seats[i]
    local amount = seat.cost
    if later > 0 then amount = canSplit and amount > later and amount - later or 0 end
    if amount < least then least = amount end
    if amount > 0 then
      seat.kernel.give(seat.state, seat.params, amount)
      verdict.changed = true
    end
  end
  verdict.granted = least
  if line and later == 0 and booking.sold >= cost and cost > 0 then
    line.sold = line.sold - cost
    if line.sold == 0 then state.line = nil end
  end
end

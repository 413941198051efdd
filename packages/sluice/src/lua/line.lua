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

-- What a booking says that gives nothing back.
local NO_PLACE = { opened = -1, sold = 0 }

local function isOneLine(seats)
  local line = seats[1].state.line
  for i = 2, #seats do
    local other = seats[i].state.line
    if (other == nil) ~= (line == nil) then return false end
    if line and (other.opened ~= line.opened or other.sold ~= line.sold) then return false end
  end
  return true
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
      if wait > 0 then stand(seat, now + wait, now) end
      verdict.changed = true
    end
  end
  local line = first.state.line
  if not isOneLine(seats) then line = NO_PLACE end
  verdict.granted, verdict.wait = least, wait
  verdict.opened, verdict.sold = line and line.opened or now, line and line.sold or 0
  return 0
end

local function unsell(state, booking, amount)
  local line = state.line
  if not line or booking.sold < amount then return end
  line.sold = line.sold - amount
  if line.sold == 0 then state.line = nil end
end

local function cancel(seats, booking, verdict)
  if booking.readyAt < verdict.now then return end
  if booking.opened == NO_PLACE.opened or not isOneLine(seats) then return end
  local params, line = seats[1].params, seats[1].state.line
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
      if later == 0 then unsell(seat.state, booking, amount) end
      verdict.changed = true
    end
  end
  verdict.granted = least
end

-- The verbs, written once over all kernels. Twin of algorithms/decide.ts, statement by statement.
local function grant(verb, seats, verdict)
  local most = math.huge
  for i = 1, #seats do
    local seat = seats[i]
    if seat.cost < most then most = seat.cost end
    if verb == CONSUME_UP_TO then
      local room = seat.kernel.room(seat.state, seat.params, verdict.now)
      most = min(most, floor(room / UNIT) * UNIT)
    end
  end
  if not ready(seats, verdict) then return end
  for i = 1, #seats do
    local seat = seats[i]
    local amount = verb == CONSUME_UP_TO and most or seat.cost
    if amount > 0 then
      seat.kernel.take(seat.state, seat.params, amount, verdict.now)
      sell(seat.state, amount)
      verdict.changed = true
    end
  end
  verdict.granted = most
end

local function block(seats, untilRaw, verdict, keepsLonger)
  for i = 1, #seats do
    local state = seats[i].state
    if not (keepsLonger and state.blocked >= untilRaw) then
      state.blocked = untilRaw
      verdict.changed = true
    end
  end
end

local function change(verb, seats, raw, extra, verdict)
  if verb == BLOCK then
    block(seats, raw + math.abs(extra), verdict, extra < 0)
  elseif verb == UNBLOCK then
    block(seats, 0, verdict)
  elseif verb == REFUND and isInLine(seats) then
    -- Nothing comes back before its time.
  elseif verb == REFUND or (verb == PENALIZE and ready(seats, verdict)) then
    for i = 1, #seats do
      local seat = seats[i]
      if seat.cost > 0 then
        if verb == PENALIZE then
          seat.kernel.take(seat.state, seat.params, seat.cost, verdict.now)
        else
          seat.kernel.give(seat.state, seat.params, seat.cost)
        end
        verdict.changed = true
      end
    end
  elseif verb == RESET then
    for i = 1, #seats do
      local seat = seats[i]
      seat.kernel.clear(seat.state)
      seat.kernel.advance(seat.state, seat.params, verdict.now)
    end
    verdict.changed = true
  end
end

local function decide(verb, seats, raw, extra, verdict, booking)
  local now = raw
  for i = 1, #seats do
    local seat = seats[i]
    local state = seat.state
    if state.expiry > 0 and raw >= state.expiry * 1000 then seat.kernel.clear(state) end
    if state.last > now then now = state.last end
  end
  verdict.readiness, verdict.now, verdict.granted, verdict.changed = READY, now, 0, false
  for i = 1, #seats do
    local seat = seats[i]
    seat.kernel.advance(seat.state, seat.params, now)
    passLine(seat.state, now)
  end

  if verb == CANCEL then
    cancel(seats, booking, verdict)
  elseif verb >= REFUND then
    change(verb, seats, raw, extra, verdict)
  end
  local fits, barred = true, false
  for i = 1, #seats do
    local seat = seats[i]
    local asked = 0
    if verb == CONSUME or verb == PEEK or verb == RESERVE then
      asked = seat.cost
    elseif verb == CONSUME_UP_TO then
      asked = UNIT
    end
    seat.asked = asked
    if asked > seat.params.capacity then
      seat.standing = TOO_COSTLY
    elseif raw < seat.state.blocked then
      seat.standing = BLOCKED
    else
      seat.standing = asked > seat.kernel.room(seat.state, seat.params, now) and QUOTA or OK
    end
    if seat.standing ~= OK then fits = false end
    -- Who asks for nothing changes nothing: not even a denial of it, in debt, blocks.
    if seat.standing > QUOTA or asked == 0 then barred = true end
  end
  local refused = 0
  if verb == RESERVE then
    refused = reserve(seats, raw, extra, verdict)
  elseif fits and verb <= CONSUME_UP_TO then
    grant(verb, seats, verdict)
  elseif not fits and not barred and verb == CONSUME and extra > 0 then
    block(seats, raw + extra, verdict)
  end

  local behind = now - raw
  for i = 1, #seats do
    local seat = seats[i]
    local kernel, state, params = seat.kernel, seat.state, seat.params
    local blocked = state.blocked > raw and state.blocked - raw or 0
    seat.room = kernel.room(state, params, now)
    local wait = 0
    if seat.standing == TOO_COSTLY then
      wait = NEVER
    elseif seat.standing ~= OK then
      if seat.asked > seat.room then wait = kernel.wait(state, params, seat.asked, now) + behind end
      if blocked > wait then wait = blocked end
    end
    local reset = kernel.full(state, params, now)
    local line = state.line
    if line and line.ends - now >= reset then reset = line.ends + 1 - now end
    if reset > 0 then reset = reset + behind end
    if blocked > reset then reset = blocked end

    local expiresAt = state.expiry * 1000
    if verdict.changed then
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
    seat.wait = wait
    if refused > wait and seat.standing == QUOTA then seat.wait = refused end
    seat.reset = reset
  end
end

-- The verbs, written once over all kernels. Twin of algorithms/decide.ts, statement by statement.
local function asked(verb, seat)
  if verb == CONSUME or verb == PEEK then return seat.cost end
  return verb == CONSUME_UP_TO and UNIT or 0
end

local function standing(seat, cost, raw, now)
  if cost > seat.params.capacity then return TOO_COSTLY end
  if raw < seat.state.blocked then return BLOCKED end
  return cost > seat.kernel.room(seat.state, seat.params, now) and QUOTA or OK
end

local function ready(seats, verdict)
  for i = 1, #seats do
    local seat = seats[i]
    if seat.cost > 0 and seat.kernel.ready then
      verdict.readiness = seat.kernel.ready(seat.state, seat.params, verdict.now)
      if verdict.readiness ~= READY then return false end
    end
  end
  return true
end

local function take(seat, amount, verdict)
  if amount == 0 then return end
  seat.kernel.take(seat.state, seat.params, amount, verdict.now)
  verdict.changed = true
end

local function grant(verb, seats, verdict)
  local most = math.huge
  for i = 1, #seats do
    local seat = seats[i]
    most = min(most, seat.cost)
    if verb == CONSUME_UP_TO then
      local room = seat.kernel.room(seat.state, seat.params, verdict.now)
      most = min(most, floor(room / UNIT) * UNIT)
    end
  end
  if not ready(seats, verdict) then return end
  for i = 1, #seats do
    local seat = seats[i]
    take(seat, verb == CONSUME_UP_TO and most or seat.cost, verdict)
  end
  verdict.granted = most
end

local function block(seats, untilRaw, verdict)
  for i = 1, #seats do seats[i].state.blocked = untilRaw end
  verdict.changed = true
end

-- A fresh state; what is stored under the key must go before anything is written.
local function clear(seat)
  seat.state = seat.kernel.fresh(seat.key)
  seat.state.stale = true
end

local function change(verb, seats, raw, extra, verdict)
  if verb == BLOCK then
    block(seats, raw + extra, verdict)
  elseif verb == UNBLOCK then
    block(seats, 0, verdict)
  elseif verb == REFUND or (verb == PENALIZE and ready(seats, verdict)) then
    for i = 1, #seats do
      local seat = seats[i]
      if verb == PENALIZE then
        take(seat, seat.cost, verdict)
      elseif seat.cost > 0 then
        seat.kernel.give(seat.state, seat.params, seat.cost)
        verdict.changed = true
      end
    end
  elseif verb == RESET then
    for i = 1, #seats do
      local seat = seats[i]
      clear(seat)
      seat.kernel.advance(seat.state, seat.params, verdict.now)
    end
    verdict.changed = true
  end
end

local function measure(seat, cost, raw, now)
  local kernel, state, params = seat.kernel, seat.state, seat.params
  local behind = now - raw
  local blocked = max(0, state.blocked - raw)
  seat.room = kernel.room(state, params, now)
  seat.wait = 0
  if seat.standing == TOO_COSTLY then
    seat.wait = NEVER
  elseif seat.standing ~= OK then
    local quota = cost > seat.room and kernel.wait(state, params, cost, now) + behind or 0
    seat.wait = max(quota, blocked)
  end
  local full = kernel.full(state, params, now)
  seat.reset = max(full > 0 and full + behind or 0, blocked)
end

local function expire(seat, raw)
  local state = seat.state
  local soonest = raw + seat.reset
  local latest = soonest + max(MIN_SLACK, seat.reset)
  local fits = state.expiry * 1000 >= soonest and state.expiry * 1000 <= latest
  if not fits then
    state.expiry = floor(latest / 1000)
    state.moved = true
  end
end

local function outlive(seat, raw)
  if seat.state.expiry == 0 then return end
  local left = seat.state.expiry * 1000 - raw
  seat.wait = min(seat.wait, left)
  seat.reset = min(seat.reset, left)
end

local function decide(verb, seats, raw, extra)
  local now = raw
  for i = 1, #seats do
    local seat = seats[i]
    if seat.state.expiry > 0 and raw >= seat.state.expiry * 1000 then clear(seat) end
    now = max(now, seat.state.last)
  end
  local verdict = { readiness = READY, now = now, granted = 0, changed = false }
  for i = 1, #seats do
    local seat = seats[i]
    seat.kernel.advance(seat.state, seat.params, now)
  end

  if verb >= REFUND then change(verb, seats, raw, extra, verdict) end
  local fits, barred = true, false
  for i = 1, #seats do
    local seat = seats[i]
    seat.standing = standing(seat, asked(verb, seat), raw, now)
    if seat.standing ~= OK then fits = false end
    if seat.standing > QUOTA then barred = true end
  end
  if fits and verb <= CONSUME_UP_TO then
    grant(verb, seats, verdict)
  elseif not fits and not barred and verb == CONSUME and extra > 0 then
    block(seats, raw + extra, verdict)
  end

  for i = 1, #seats do
    local seat = seats[i]
    measure(seat, asked(verb, seat), raw, now)
    if verdict.changed then
      seat.state.last = now
      expire(seat, raw)
    else
      outlive(seat, raw)
    end
  end
  return verdict
end

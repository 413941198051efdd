-- The bucket: token bucket, GCRA and leaky bucket. Twin of kernel.ts, statement by statement.
--
-- ARGV    limit, period, capacity, maximum
--         mode                     0 = continuous, 1 = interval, 2 = queue, 3 = unlimited
--
-- Value   see format.lua
--
-- @const CENTURY_US from core/duration.ts
-- @const SHORT, SHORT_NUMBER, SHORT_BYTES, SHORT_PERIODS from algorithms/bucket/format.lua
-- @const FULL, FULL_NUMBER, FULL_BYTES from algorithms/bucket/format.lua
-- @const RESERVED, RESERVED_NUMBER, RESERVED_BYTES from algorithms/bucket/format.lua

-- Declared before their first use, because functions are in the twin's order.
local settle, levelAt

local function advance(s, p, now)
  if s.per ~= p.per then
    if s.remainder > 0 then s.used = s.used + 1 end
    s.remainder = 0
    s.per = p.per
  end
  if s.used > p.maximum then s.used = p.maximum end
  if s.used > 0 or s.remainder > 0 then
    local elapsed = now - s.since
    if p.interval then
      local refills = floor(elapsed / p.period)
      s.used = s.used - refills * p.limit
      s.since = s.since + refills * p.period
    else
      local drained, remainder = mulDiv(elapsed, p.limit, p.period)
      s.used = s.used - drained
      s.remainder = s.remainder - remainder
      if s.remainder < 0 then
        s.used = s.used - 1
        s.remainder = s.remainder + p.per
      end
      s.since = now
    end
  end
  settle(s)
  if s.used == 0 and s.remainder == 0 then s.since = now end
end

function settle(s)
  if s.used < 0 then
    s.used = 0
    s.remainder = 0
  end
end

local function available(s, p)
  return p.capacity - s.used - (s.remainder > 0 and 1 or 0)
end

local function drainTime(s, p, excess, now)
  if p.limit == 0 then return CENTURY_US end
  if p.interval then return s.since + ceil(excess / p.limit) * p.period - now end
  local whole, remainder = mulDiv(excess, p.period, p.limit)
  return whole + ceil((remainder + s.remainder) / p.limit)
end

local function timeUntil(s, p, amount, now)
  return drainTime(s, p, s.used + amount - p.capacity, now)
end

local function take(s, p, amount)
  s.used = min(s.used + amount, p.maximum)
end

local function reserve(s, p, amount, isQueue, delay, now)
  local usedBefore, remainderBefore = s.used, s.remainder
  if p.interval then
    local left = levelAt(s, p, now + delay, now)
    s.used = s.used + amount - (left < 0 and left or 0)
  else
    local drained, remainder = mulDiv(delay, p.limit, p.period)
    s.used = (isQueue and amount or p.capacity) + drained
    s.remainder = remainder
  end
  return (s.used - usedBefore - amount) * s.per + s.remainder - remainderBefore
end

function levelAt(s, p, at, now)
  if p.interval then return s.used - floor((at - s.since) / p.period) * p.limit end
  local drained, remainder = mulDiv(at - now, p.limit, p.period)
  return s.used - drained - (s.remainder < remainder and 1 or 0)
end

local function giveBack(s, p, amount, extra)
  local whole = floor((extra or 0) / s.per)
  s.used = s.used - amount - whole
  s.remainder = s.remainder - (extra or 0) + whole * s.per
  if s.remainder < 0 then
    s.used = s.used - 1
    s.remainder = s.remainder + s.per
  end
  settle(s)
end

local function timeToFull(s, p, now)
  if s.used == 0 and s.remainder == 0 then return 0 end
  return drainTime(s, p, s.used, now)
end

local function clear(s)
  s.used, s.remainder, s.per, s.since = 0, 0, 1, 0
  s.last, s.blockedUntil, s.expiry, s.reservations = 0, 0, 0, nil
end

kernels.b = {
  fresh = function()
    return { used = 0, remainder = 0, per = 1, since = 0, last = 0, blockedUntil = 0, expiry = 0, moved = false }
  end,

  clear = clear,
  advance = advance,
  available = available,
  timeUntil = timeUntil,
  take = take,
  reserve = reserve,
  levelAt = levelAt,
  giveBack = giveBack,
  timeToFull = timeToFull,

  params = function(at)
    local limit, period, capacity = ARGV[at + 1] + 0, ARGV[at + 2] + 0, ARGV[at + 3] + 0
    local maximum, mode = ARGV[at + 4] + 0, ARGV[at + 5]
    local interval, promised = mode == '1', maximum
    if interval then promised = maximum - limit end
    if mode == '3' then promised = capacity end
    return {
      limit = limit, period = period, per = interval and 1 or period, capacity = capacity, maximum = maximum,
      interval = interval, reservations = { strict = mode == '2', alone = interval, maximum = promised },
    }
  end,

  unpack = function(s, value)
    local format, _ = byte(value, 1)
    s.moved, s.reservations = false, nil
    if format == SHORT_NUMBER and #value == SHORT_BYTES then
      _, s.used, s.remainder, s.per, s.last, s.expiry = structUnpack(SHORT, value)
      s.since, s.blockedUntil = s.last, 0
      return true
    elseif format == FULL_NUMBER and #value == FULL_BYTES then
      _, s.used, s.remainder, s.per, s.since, s.last, s.blockedUntil, s.expiry = structUnpack(FULL, value)
      return true
    elseif format == RESERVED_NUMBER and #value == RESERVED_BYTES then
      local r = {}
      _, s.used, s.remainder, s.per, s.since, s.last, s.blockedUntil, s.expiry, r.opened, r.sold, r.ends =
        structUnpack(RESERVED, value)
      s.reservations = r
      return true
    end
  end,

  pack = function(s)
    local r = s.reservations
    if r then
      return structPack(RESERVED, RESERVED_NUMBER, s.used, s.remainder, s.per, s.since, s.last, s.blockedUntil, s.expiry,
        r.opened, r.sold, r.ends)
    end
    if s.since == s.last and s.blockedUntil == 0 and s.per < SHORT_PERIODS then
      return structPack(SHORT, SHORT_NUMBER, s.used, s.remainder, s.per, s.last, s.expiry)
    end
    return structPack(FULL, FULL_NUMBER, s.used, s.remainder, s.per, s.since, s.last, s.blockedUntil, s.expiry)
  end,
}

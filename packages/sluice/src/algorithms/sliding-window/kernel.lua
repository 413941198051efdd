-- The sliding window: two counts, the older one fading. Twin of kernel.ts, statement by statement.
--
-- ARGV    capacity, window
--
-- Value   see format.lua
--
-- @const VALUE, VALUE_NUMBER, VALUE_BYTES from algorithms/sliding-window/format.lua
-- @const MAX_USED from algorithms/kernel.ts
local function isFresh(s)
  return s.previous == 0 and s.current == 0
end

local function advance(s, p, now)
  if not isFresh(s) and now >= s.endUs then
    local passed = floor((now - s.endUs) / p.window)
    s.previous = passed == 0 and s.current or 0
    s.current = 0
    s.endUs = s.endUs + (passed + 1) * p.window
    s.width = p.window
  end
  if isFresh(s) then
    s.endUs = (floor(now / p.window) + 1) * p.window
    s.width = p.window
  end
end

local function weighted(s, now)
  local share, remainder = mulDiv(s.previous, s.endUs - now, s.width)
  return remainder > 0 and share + 1 or share
end

local function available(s, p, now)
  return p.capacity - s.current - weighted(s, now)
end

local function fadeTime(previous, target, width)
  if previous <= target then return 0 end
  return width - mulDiv(target, width, previous)
end

local function timeUntil(s, p, amount, now)
  local target = p.capacity - s.current - amount
  if target >= 0 then return s.endUs - s.width + fadeTime(s.previous, target, s.width) - now end
  return s.endUs + fadeTime(s.current, p.capacity - amount, p.window) - now
end

local function take(s, p, amount)
  s.current = min(s.current + amount, MAX_USED)
end

local function giveBack(s, p, amount)
  local older = max(0, amount - s.current)
  s.current = max(0, s.current - amount)
  s.previous = max(0, s.previous - older)
end

local function timeToFull(s, p, now)
  if s.current > 0 then return s.endUs + p.window - now end
  return s.previous > 0 and s.endUs - now or 0
end

local function clear(s)
  s.previous, s.current, s.endUs, s.width, s.last, s.blockedUntil, s.expiry = 0, 0, 0, 0, 0, 0, 0
end

kernels.s = {
  fresh = function()
    return { previous = 0, current = 0, endUs = 0, width = 0, last = 0, blockedUntil = 0, expiry = 0, moved = false }
  end,

  clear = clear,
  advance = advance,
  available = available,
  timeUntil = timeUntil,
  take = take,
  giveBack = giveBack,
  timeToFull = timeToFull,

  params = function(at)
    return { capacity = ARGV[at + 1] + 0, window = ARGV[at + 2] + 0 }
  end,

  unpack = function(s, value)
    local format, _ = byte(value, 1)
    s.moved = false
    if format ~= VALUE_NUMBER or #value ~= VALUE_BYTES then return false end
    _, s.previous, s.current, s.endUs, s.width, s.last, s.blockedUntil, s.expiry = structUnpack(VALUE, value)
    return true
  end,

  pack = function(s)
    return structPack(VALUE, VALUE_NUMBER, s.previous, s.current, s.endUs, s.width, s.last, s.blockedUntil, s.expiry)
  end,
}

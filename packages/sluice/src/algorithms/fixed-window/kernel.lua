-- A count and the end of its window: fixed (f) and calendar (c) windows. Twin of kernel.ts, statement by statement.
--
-- ARGV    f: capacity, window
--            first               1 = the window opens with its first hit
--         c: capacity
--            count, boundaries   the first is where the table begins, the others end a window each
--
-- Value   see format.lua
--
-- @const SHORT, SHORT_NUMBER, SHORT_BYTES from algorithms/fixed-window/format.lua
-- @const BLOCKED, BLOCKED_NUMBER, BLOCKED_BYTES from algorithms/fixed-window/format.lua
-- @const READY, NEED_CALENDAR, MAX_USED from algorithms/kernel.ts
local function advance(s, p, now)
  if now >= s.endUs or s.count == 0 then
    s.count = 0
    s.endUs = 0
  end
end

local function available(s, p)
  return p.capacity - s.count
end

local function timeUntil(s, p, amount, now)
  return s.endUs - now
end

local function giveBack(s, p, amount)
  s.count = max(0, s.count - amount)
end

local function timeToFull(s, p, now)
  return s.count == 0 and 0 or s.endUs - now
end

local function clear(s)
  s.count, s.endUs, s.last, s.blockedUntil, s.expiry = 0, 0, 0, 0, 0
end

local function windowKernel(endOf, params)
  return {
    fresh = function()
      return { count = 0, endUs = 0, last = 0, blockedUntil = 0, expiry = 0, moved = false }
    end,

    clear = clear,
    advance = advance,
    available = available,
    timeUntil = timeUntil,

    ready = function(s, p, now)
      return (s.count > 0 or endOf(p, now) > 0) and READY or NEED_CALENDAR
    end,

    take = function(s, p, amount, now)
      if s.count == 0 then s.endUs = endOf(p, now) end
      s.count = min(s.count + amount, MAX_USED)
    end,

    giveBack = giveBack,
    timeToFull = timeToFull,
    params = params,

    unpack = function(s, value)
      local format, _ = byte(value, 1)
      s.moved = false
      if format == SHORT_NUMBER and #value == SHORT_BYTES then
        _, s.count, s.endUs, s.last, s.expiry = structUnpack(SHORT, value)
        s.blockedUntil = 0
        return true
      elseif format == BLOCKED_NUMBER and #value == BLOCKED_BYTES then
        _, s.count, s.endUs, s.last, s.blockedUntil, s.expiry = structUnpack(BLOCKED, value)
        return true
      end
    end,

    pack = function(s)
      if s.blockedUntil == 0 then
        return structPack(SHORT, SHORT_NUMBER, s.count, s.endUs, s.last, s.expiry)
      end
      return structPack(BLOCKED, BLOCKED_NUMBER, s.count, s.endUs, s.last, s.blockedUntil, s.expiry)
    end,
  }
end

-- Fixed: the window is a multiple of its length since the epoch, or opens with its first hit.
kernels.f = windowKernel(
  function(p, now)
    if p.first then return now + p.window end
    return (floor(now / p.window) + 1) * p.window
  end,
  function(at)
    return { capacity = ARGV[at + 1] + 0, window = ARGV[at + 2] + 0, first = ARGV[at + 3] == '1' }
  end
)

-- Calendar: the window ends at the first boundary after now; 0 if the table does not reach that far.
kernels.c = windowKernel(
  function(p, now)
    if now < p[1] then return 0 end
    for i = 2, p.count do
      if now < p[i] then return p[i] end
    end
    return 0
  end,
  function(at)
    local p = { capacity = ARGV[at + 1] + 0, count = ARGV[at + 2] + 0 }
    for i = 1, p.count do p[i] = ARGV[at + 2 + i] + 0 end
    return p
  end
)

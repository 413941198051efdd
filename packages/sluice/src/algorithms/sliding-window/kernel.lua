-- The sliding window: two counts, the older one fading. Twin of kernel.ts.
-- Value: byte 1 the format (1); previous I6, current I6, end I7, width I6, last I7, blocked I7, expiry (ms) I6.
local function isFresh(s)
  return s.previous == 0 and s.current == 0
end

local function weighted(s, now)
  local share, remainder = mulDiv(s.previous, s.endAt - now, s.width)
  return remainder > 0 and share + 1 or share
end

local function fadeTime(previous, target, width)
  if previous <= target then return 0 end
  return width - mulDiv(target, width, previous)
end

kernels.s = {
  params = function(at)
    return { capacity = ARGV[at + 1] + 0, window = ARGV[at + 2] + 0 }
  end,

  fresh = function()
    return { previous = 0, current = 0, endAt = 0, width = 0, last = 0, blocked = 0, expiry = 0, moved = false }
  end,

  clear = function(s)
    s.previous, s.current, s.endAt, s.width, s.last, s.blocked, s.expiry = 0, 0, 0, 0, 0, 0, 0
  end,

  unpack = function(s, value)
    local format, _ = byte(value, 1)
    s.moved = false
    if format ~= 1 or #value ~= 46 then return false end
    _, s.previous, s.current, s.endAt, s.width, s.last, s.blocked, s.expiry = structUnpack('<BI6I6I7I6I7I7I6', value)
    return true
  end,

  pack = function(s)
    return structPack('<BI6I6I7I6I7I7I6', 1, s.previous, s.current, s.endAt, s.width, s.last, s.blocked, s.expiry)
  end,

  advance = function(s, p, now)
    if not isFresh(s) and now >= s.endAt then
      local passed = floor((now - s.endAt) / p.window)
      s.previous = passed == 0 and s.current or 0
      s.current = 0
      s.endAt = s.endAt + (passed + 1) * p.window
      s.width = p.window
    end
    if isFresh(s) then
      s.endAt = (floor(now / p.window) + 1) * p.window
      s.width = p.window
    end
  end,

  available = function(s, p, now)
    return p.capacity - s.current - weighted(s, now)
  end,

  timeUntil = function(s, p, amount, now)
    local target = p.capacity - s.current - amount
    if target >= 0 then
      return s.endAt - s.width + fadeTime(s.previous, target, s.width) - now
    end
    return s.endAt + fadeTime(s.current, p.capacity - amount, p.window) - now
  end,

  take = function(s, p, amount)
    s.current = min(s.current + amount, MAX_USED)
  end,

  giveBack = function(s, p, amount)
    local older = max(0, amount - s.current)
    s.current = max(0, s.current - amount)
    s.previous = max(0, s.previous - older)
  end,

  timeToFull = function(s, p, now)
    if s.current > 0 then return s.endAt + p.window - now end
    return s.previous > 0 and s.endAt - now or 0
  end,
}

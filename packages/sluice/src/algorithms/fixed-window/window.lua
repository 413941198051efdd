-- A count and the end of its window: fixed (f) and calendar (c) windows. Twin of window.ts.
-- Value: byte 1 the format; 1 = the short one, 2 = with a block.
--   count I6, end I7, last I7, [blocked I7,] expiry (ms) I6
local function windowKernel(params, endOf)
  return {
    params = params,

    fresh = function()
      return { count = 0, endAt = 0, last = 0, blocked = 0, expiry = 0, moved = false }
    end,

    clear = function(s)
      s.count, s.endAt, s.last, s.blocked, s.expiry = 0, 0, 0, 0, 0
    end,

    unpack = function(s, value)
      local format, _ = byte(value, 1)
      s.moved = false
      if format == 1 and #value == 27 then
        _, s.count, s.endAt, s.last, s.expiry = structUnpack('<BI6I7I7I6', value)
        s.blocked = 0
        return true
      elseif format == 2 and #value == 34 then
        _, s.count, s.endAt, s.last, s.blocked, s.expiry = structUnpack('<BI6I7I7I7I6', value)
        return true
      end
    end,

    pack = function(s)
      if s.blocked == 0 then
        return structPack('<BI6I7I7I6', 1, s.count, s.endAt, s.last, s.expiry)
      end
      return structPack('<BI6I7I7I7I6', 2, s.count, s.endAt, s.last, s.blocked, s.expiry)
    end,

    advance = function(s, p, now)
      if now >= s.endAt or s.count == 0 then
        s.count = 0
        s.endAt = 0
      end
    end,

    available = function(s, p)
      return p.capacity - s.count
    end,

    timeUntil = function(s, p, amount, now)
      return s.endAt - now
    end,

    ready = function(s, p, now)
      return (s.count > 0 or endOf(p, now) > 0) and READY or NEED_CALENDAR
    end,

    take = function(s, p, amount, now)
      if s.count == 0 then s.endAt = endOf(p, now) end
      s.count = min(s.count + amount, MAX_USED)
    end,

    giveBack = function(s, p, amount)
      s.count = max(0, s.count - amount)
    end,

    timeToFull = function(s, p, now)
      return s.count == 0 and 0 or s.endAt - now
    end,
  }
end

-- Fixed: the window is a multiple of its length since the epoch, or opens with its first hit.
kernels.f = windowKernel(
  function(at)
    return { capacity = ARGV[at + 1] + 0, window = ARGV[at + 2] + 0, first = ARGV[at + 3] == '1' }
  end,
  function(p, now)
    if p.first then return now + p.window end
    return (floor(now / p.window) + 1) * p.window
  end
)

-- Calendar: the window ends at the first boundary after now; 0 where the table does not reach.
kernels.c = windowKernel(
  function(at)
    local p = { capacity = ARGV[at + 1] + 0, count = ARGV[at + 2] + 0 }
    for i = 1, p.count do p[i] = ARGV[at + 2 + i] + 0 end
    return p
  end,
  function(p, now)
    if now < p[1] then return 0 end
    for i = 2, p.count do
      if now < p[i] then return p[i] end
    end
    return 0
  end
)

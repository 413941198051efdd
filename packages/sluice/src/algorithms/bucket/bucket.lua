-- The bucket: token bucket, GCRA and leaky bucket. Twin of bucket.ts, statement by statement.
-- Value: byte 1 the format; 1 = the short one, 2 = with an anchor, a block or a long period, 3 = with a line.
--   short: used I6, remainder I3, per I3, last I7, expiry (ms) I6
--   full: used I6, remainder I6, per I6, since I7, last I7, blocked I7, expiry (ms) I6
--   with a line: the same, then opened I7, sold I7, ends I7
local function drainTime(s, p, excess, now)
  if p.interval then
    return s.since + ceil(excess / p.limit) * p.period - now
  end
  local whole, remainder = mulDiv(excess, p.period, p.limit)
  return whole + ceil((remainder + s.remainder) / p.limit)
end

local function settle(s)
  if s.used < 0 then
    s.used = 0
    s.remainder = 0
  end
end

kernels.b = {
  params = function(at)
    local period, mode = ARGV[at + 2] + 0, ARGV[at + 5]
    return {
      limit = ARGV[at + 1] + 0, period = period, per = mode == '1' and 1 or period, capacity = ARGV[at + 3] + 0,
      maximum = ARGV[at + 4] + 0, interval = mode == '1', canWait = mode ~= '1', strict = mode == '2',
    }
  end,

  fresh = function()
    return { used = 0, remainder = 0, per = 1, since = 0, last = 0, blocked = 0, expiry = 0, moved = false }
  end,

  clear = function(s)
    s.used, s.remainder, s.per, s.since = 0, 0, 1, 0
    s.last, s.blocked, s.expiry, s.reservations = 0, 0, 0, nil
  end,

  unpack = function(s, value)
    local format, _ = byte(value, 1)
    s.moved, s.reservations = false, nil
    if format == 1 and #value == 26 then
      _, s.used, s.remainder, s.per, s.last, s.expiry = structUnpack('<BI6I3I3I7I6', value)
      s.since, s.blocked = s.last, 0
      return true
    elseif format == 2 and #value == 46 then
      _, s.used, s.remainder, s.per, s.since, s.last, s.blocked, s.expiry = structUnpack('<BI6I6I6I7I7I7I6', value)
      return true
    elseif format == 3 and #value == 67 then
      local reservations = {}
      _, s.used, s.remainder, s.per, s.since, s.last, s.blocked, s.expiry, reservations.opened, reservations.sold, reservations.ends =
        structUnpack('<BI6I6I6I7I7I7I6I7I7I7', value)
      s.reservations = reservations
      return true
    end
  end,

  pack = function(s)
    local reservations = s.reservations
    if reservations then
      return structPack('<BI6I6I6I7I7I7I6I7I7I7', 3, s.used, s.remainder, s.per, s.since, s.last, s.blocked, s.expiry,
        reservations.opened, reservations.sold, reservations.ends)
    end
    if s.since == s.last and s.blocked == 0 and s.per < 16777216 then
      return structPack('<BI6I3I3I7I6', 1, s.used, s.remainder, s.per, s.last, s.expiry)
    end
    return structPack('<BI6I6I6I7I7I7I6', 2, s.used, s.remainder, s.per, s.since, s.last, s.blocked, s.expiry)
  end,

  advance = function(s, p, now)
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
  end,

  available = function(s, p)
    return p.capacity - s.used - (s.remainder > 0 and 1 or 0)
  end,

  timeUntil = function(s, p, amount, now)
    return drainTime(s, p, s.used + amount - p.capacity, now)
  end,

  take = function(s, p, amount)
    s.used = min(s.used + amount, p.maximum)
  end,

  reserve = function(s, p, level, delay)
    local drained, remainder = mulDiv(delay, p.limit, p.period)
    s.used, s.remainder = level + drained, remainder
  end,

  giveBack = function(s, p, amount)
    s.used = s.used - amount
    settle(s)
  end,

  timeToFull = function(s, p, now)
    if s.used == 0 and s.remainder == 0 then return 0 end
    return drainTime(s, p, s.used, now)
  end,
}

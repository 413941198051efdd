-- The usual consume: so many calls of one cost that all fit into a window in the short format, on a clock that did not
-- go back. As bucket/fast.lua, by the statements of window.lua. Of a calendar only a running window: what opens one
-- needs its table.
-- Returns the new value, the what is available behind the last call, the reset of each, again the reset, and the expiry if that
-- moved; nothing, if the calls are not of this kind.
local function fastWindow(capacity, endOf)
  return function(value, cost, calls)
    local count, endAt, expiry = 0, 0, 0
    if value then
      if #value ~= 27 then return nil end
      local format, last
      format, count, endAt, last, expiry = structUnpack('<BI6I7I7I6', value)
      if format ~= 1 or last > raw or raw >= expiry * 1000 then return nil end
      if raw >= endAt then count = 0 end
    end

    local available = capacity - count - cost * calls
    if available < 0 or cost == 0 then return nil end
    if count == 0 then
      if not endOf then return nil end
      endAt = endOf(raw)
    end
    local reset = endAt - raw

    local soonest, expiresAt = raw + reset, expiry * 1000
    local latest = soonest + (reset > MIN_SLACK and reset or MIN_SLACK)
    local moved = expiresAt < soonest or expiresAt > latest
    if moved then expiry = floor(latest / 1000) end
    return structPack('<BI6I7I7I6', 1, capacity - available, endAt, raw, expiry), available, reset, reset, moved and expiry
  end
end

fast.f = function(at)
  local capacity, window, first = ARGV[at + 1] + 0, ARGV[at + 2] + 0, ARGV[at + 3] == '1'
  return fastWindow(capacity, function(now)
    if first then return now + window end
    return (floor(now / window) + 1) * window
  end)
end

fast.c = function(at)
  return fastWindow(ARGV[at + 1] + 0)
end

-- The usual consume: so many calls of one cost that all fit into a bucket in the short format, of the policy's own
-- period, on a clock that did not go back. The statements are those of lua/consume-one.lua and bucket.lua with
-- the state in locals, which takes half the time. Whatever else a call may meet is theirs.
-- Returns the new value, the what is available and the remainder behind the last call, its reset, and the expiry if that moved;
-- nothing, if the calls are not of this kind.
fast.b = function(at)
  local limit, period, capacity, maximum = ARGV[at + 1] + 0, ARGV[at + 2] + 0, ARGV[at + 3] + 0, ARGV[at + 4] + 0
  if ARGV[at + 5] == '1' or period >= 16777216 then return nil end

  return function(value, cost, calls)
    local used, remainder, expiry = 0, 0, 0
    if value then
      if #value ~= 26 then return nil end
      local format, was, last
      format, used, remainder, was, last, expiry = structUnpack('<BI6I3I3I7I6', value)
      if format ~= 1 or was ~= period or last > raw or raw >= expiry * 1000 or used > maximum then return nil end
      local direct = (raw - last) * limit
      if direct >= EXACT then return nil end
      local drained = floor(direct / period)
      used = used - drained
      remainder = remainder - (direct - drained * period)
      if remainder < 0 then used, remainder = used - 1, remainder + period end
      if used < 0 then used, remainder = 0, 0 end
    end

    local rest = remainder > 0 and 1 or 0
    local first = used + cost
    used = used + cost * calls
    local available, direct = capacity - used - rest, used * period
    if available < 0 or cost == 0 or direct >= EXACT then return nil end
    local reset = floor(direct / limit)
    reset = reset + ceil((direct - reset * limit + remainder) / limit)

    local soonest, expiresAt = raw + reset, expiry * 1000
    local latest = soonest + (reset > MIN_SLACK and reset or MIN_SLACK)
    local moved = expiresAt < soonest or expiresAt > latest
    -- One after another they may move the expiry in steps, which only they can tell.
    if calls > 1 then
      local least = floor(first * period / limit)
      if moved or expiresAt > raw + least + (least > MIN_SLACK and least or MIN_SLACK) then return nil end
    end
    if moved then expiry = floor(latest / 1000) end
    return structPack('<BI6I3I3I7I6', 1, used, remainder, period, raw, expiry), available, remainder, reset, moved and expiry
  end
end

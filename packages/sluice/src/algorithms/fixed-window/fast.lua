-- The usual consume on a window in the short format, on a clock that did not go back. As bucket/fast.lua, whose head says
-- what is given and returned; `rest` is the reset, which is the same for all calls.
--
-- @const SHORT, SHORT_NUMBER, SHORT_BYTES from algorithms/fixed-window/format.lua
local function fastWindow(capacity, endOf)
  return function(value, cost, calls)
    -- `unpack` and `advance`.
    local count, endUs, expiry = 0, 0, 0
    if value then
      if #value ~= SHORT_BYTES then return nil end
      local format, last
      format, count, endUs, last, expiry = structUnpack(SHORT, value)
      if format ~= SHORT_NUMBER or last > raw or raw >= expiry * 1000 then return nil end
      if raw >= endUs then count = 0 end
    end

    local available = capacity - count
    if cost > available or cost == 0 then
      if cost > capacity then return nil end
      -- `timeToFull` and `timeUntil`.
      local reset = count == 0 and 0 or endUs - raw
      local wait = cost > available and endUs - raw or 0
      -- @include algorithms/unchanged.lua
      return false, available, wait, reset
    end

    -- `take`.
    available = available - cost * calls
    if available < 0 then return nil end
    if count == 0 then
      endUs = endOf(raw)
      -- `ready`.
      if endUs == 0 then return nil end
    end
    -- `timeToFull`.
    local reset = endUs - raw

    local soonest, expiresAt = raw + reset, expiry * 1000
    -- @include algorithms/expiry.lua
    -- `pack`.
    return structPack(SHORT, SHORT_NUMBER, capacity - available, endUs, raw, expiry), available, reset, reset, moved and expiry
  end
end

fast.f = function(capacity, window, first)
  window, first = window + 0, first + 0 == 1
  return fastWindow(capacity + 0, function(now)
    if first then return now + window end
    return (floor(now / window) + 1) * window
  end)
end

fast.c = function(capacity, count, ...)
  local boundaries = { ... }
  return fastWindow(capacity + 0, function(now)
    if count + 0 == 0 or now < boundaries[1] + 0 then return 0 end
    for i = 2, #boundaries do
      if now < boundaries[i] + 0 then return boundaries[i] + 0 end
    end
    return 0
  end)
end

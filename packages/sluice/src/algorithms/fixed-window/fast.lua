-- The usual consume on a window in the short format, on a clock that did not go back. As bucket/fast.lua, whose head says
-- what is given and returned; `rest` is the reset, which is the same for all calls.
--
-- @const SHORT, SHORT_NUMBER, SHORT_BYTES from algorithms/fixed-window/format.lua
fast.f = function(capacity, window, first, boundaries)
  capacity, window, first = capacity + 0, window + 0, first + 0

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
    if count == 0 and not boundaries then
      endUs = first == 1 and raw + window or (floor(raw / window) + 1) * window
    elseif count == 0 then
      -- The first boundary after now: not the table's beginning, nor behind its end.
      local i = 1
      while boundaries[i] and raw >= boundaries[i] + 0 do i = i + 1 end
      -- `ready`.
      if i == 1 or not boundaries[i] then return nil end
      endUs = boundaries[i] + 0
    end
    -- `timeToFull`.
    local reset = endUs - raw

    local soonest, expiresAt = raw + reset, expiry * 1000
    -- @include algorithms/expiry.lua
    -- `pack`.
    return structPack(SHORT, SHORT_NUMBER, capacity - available, endUs, raw, expiry), available, reset, reset, moved and expiry
  end
end

fast.c = function(capacity, count, ...)
  return fast.f(capacity, 0, 0, { ... })
end

-- The usual consume on a sliding window that is not blocked, on a clock that did not go back. As bucket/fast.lua, whose
-- head says what is given and returned; `rest` is the reset, which is the same for all calls.
--
-- @include core/mul-div.lua
--
-- @const VALUE, VALUE_NUMBER, VALUE_BYTES from algorithms/sliding-window/format.lua
fast.s = function(capacity, window)
  capacity, window = capacity + 0, window + 0

  return function(value, cost, calls)
    -- `unpack`.
    local previous, current, endUs, width, blockedUntil, expiry = 0, 0, 0, 0, 0, 0
    if value then
      if #value ~= VALUE_BYTES then return nil end
      local format, last
      format, previous, current, endUs, width, last, blockedUntil, expiry = structUnpack(VALUE, value)
      if format ~= VALUE_NUMBER or last > raw or raw >= expiry * 1000 or raw < blockedUntil then return nil end
      -- `advance`.
      if raw >= endUs then
        local passed = floor((raw - endUs) / window)
        previous, current = passed == 0 and current or 0, 0
        endUs, width = endUs + (passed + 1) * window, window
      end
    end
    if previous == 0 and current == 0 then
      endUs, width = (floor(raw / window) + 1) * window, window
    end

    -- `weighted` and `available`.
    local share, part = mulDiv(previous, endUs - raw, width)
    local available = capacity - current - (part > 0 and share + 1 or share)
    if cost > available or cost == 0 then
      if cost > capacity then return nil end
      -- `timeToFull` and `timeUntil`.
      local reset, wait = 0, 0
      if current > 0 then
        reset = endUs + window - raw
      elseif previous > 0 then
        reset = endUs - raw
      end
      if cost > available then
        local target = capacity - current - cost
        if target >= 0 then
          wait = endUs - raw - mulDiv(target, width, previous)
        elseif current > capacity - cost then
          wait = endUs + window - raw - mulDiv(capacity - cost, window, current)
        end
      end
      -- @include algorithms/unchanged.lua
      return false, available, wait, reset
    end

    -- `take`.
    available = available - cost * calls
    if available < 0 then return nil end
    current = current + cost * calls
    -- `timeToFull`.
    local reset = endUs + window - raw

    local soonest, expiresAt = raw + reset, expiry * 1000
    -- @include algorithms/expiry.lua
    -- `pack`.
    value = structPack(VALUE, VALUE_NUMBER, previous, current, endUs, width, raw, blockedUntil, expiry)
    return value, available, reset, reset, moved and expiry
  end
end

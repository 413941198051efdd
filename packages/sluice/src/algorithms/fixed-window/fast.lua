-- The usual consume: calls of one cost that all fit into a window in the short format, on a clock that did not go back.
-- Of a calendar only into a running window: what opens one needs its table. As bucket/fast.lua, for windows.
--
-- ARGV    as kernel.lua
--
-- Given   value       stored, or false
--         cost        thousandths
--         calls       how many
-- Returns nothing, if the calls are not of this kind; else
--         value       new
--         available   behind the last call
--         rest        the reset of each call, µs
--         reset       the same
--         expiry      ms, or false if it did not move
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

    -- `take` and `available`.
    local available = capacity - count - cost * calls
    if available < 0 or cost == 0 then return nil end
    if count == 0 then
      if not endOf then return nil end
      endUs = endOf(raw)
    end
    -- `timeToFull`.
    local reset = endUs - raw

    local soonest, expiresAt = raw + reset, expiry * 1000
    -- @include algorithms/expiry.lua
    -- `pack`.
    return structPack(SHORT, SHORT_NUMBER, capacity - available, endUs, raw, expiry), available, reset, reset, moved and expiry
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

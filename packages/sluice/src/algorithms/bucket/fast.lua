-- The usual consume: calls of one cost that all fit into a bucket in the short format, of the policy's own period, on a
-- clock that did not go back. The state is in locals, which takes half the time. Whatever else a call may meet is the
-- general path's.
--
-- ARGV    as kernel.lua
--
-- Given   value       stored, or false
--         cost        thousandths
--         calls       how many
-- Returns nothing, if the calls are not of this kind; else
--         value       new
--         available   behind the last call
--         rest        the remainder behind it, which tells the resets of all
--         reset       of the last call, µs
--         expiry      ms, or false if it did not move
--
-- @const SHORT, SHORT_NUMBER, SHORT_BYTES, SHORT_PERIODS from algorithms/bucket/format.lua
-- @const EXACT from core/mul-div.ts
-- @const MIN_SLACK_US from algorithms/decide.ts
fast.b = function(at)
  local limit, period, capacity, maximum = ARGV[at + 1] + 0, ARGV[at + 2] + 0, ARGV[at + 3] + 0, ARGV[at + 4] + 0
  if ARGV[at + 5] == '1' or ARGV[at + 5] == '3' or period >= SHORT_PERIODS then return nil end

  return function(value, cost, calls)
    -- `unpack`.
    local used, remainder, expiry = 0, 0, 0
    if value then
      if #value ~= SHORT_BYTES then return nil end
      local format, per, last
      format, used, remainder, per, last, expiry = structUnpack(SHORT, value)
      if format ~= SHORT_NUMBER or per ~= period or last > raw or raw >= expiry * 1000 or used > maximum then return nil end
      -- `advance`, with mulDiv's first three lines.
      local direct = (raw - last) * limit
      if direct >= EXACT then return nil end
      local drained = floor(direct / period)
      used = used - drained
      remainder = remainder - (direct - drained * period)
      if remainder < 0 then used, remainder = used - 1, remainder + period end
      if used < 0 then used, remainder = 0, 0 end
    end

    -- `take` and `available`.
    local rest = remainder > 0 and 1 or 0
    local first = used + cost
    used = used + cost * calls
    local available, direct = capacity - used - rest, used * period
    if available < 0 or cost == 0 or direct >= EXACT then return nil end
    -- `timeToFull`.
    local reset = floor(direct / limit)
    reset = reset + ceil((direct - reset * limit + remainder) / limit)

    local soonest, expiresAt = raw + reset, expiry * 1000
    -- @include algorithms/expiry.lua
    -- One after another they may move the expiry in steps, which only they can tell.
    if calls > 1 then
      local least = floor(first * period / limit)
      if moved or expiresAt > raw + least + (least > MIN_SLACK_US and least or MIN_SLACK_US) then return nil end
    end
    -- `pack`.
    return structPack(SHORT, SHORT_NUMBER, used, remainder, period, raw, expiry), available, remainder, reset, moved and expiry
  end
end

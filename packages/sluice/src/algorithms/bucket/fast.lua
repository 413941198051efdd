-- The usual consume: calls of one cost on a bucket in the short format, of the policy's own period, on a clock that did not
-- go back, that all fit or of which none does. The state is in locals, which takes half the time. It reads no KEYS and
-- writes nothing, so that its caller can still take the general path.
--
-- A script that has fast paths makes `fast`, `raw` and the names of prelude.lua ahead of them. By tag, fast holds what is
-- given a policy's numbers, as kernel.lua has them in ARGV, as text or as numbers, and returns nil if consumes of that
-- policy are never usual; else a function:
--
-- Given   value       stored, or false
--         cost        thousandths
--         calls       how many
-- Returns nil, if the calls are not of this kind: they are the general path's, from the same value
--    or   value       new, to be stored: all calls fit
--         available   behind the last call
--         rest        the remainder behind it, which tells the resets of all, see timeToFullAt in kernel.ts
--         reset       of the last call, µs
--         expiry      ms, or false if it did not move
--    or   false       nothing changes: no call fits, or the cost is 0; a caller that blocks on denials takes the general path
--         available   now
--         wait        until the cost fits, µs; 0 = it does
--         reset       µs
--
-- It cannot tell a key that was never seen from one of another type.
--
-- stores/redis/straight.ts takes the two functions apart. So each `return` of the inner one ends a line, outside of loops, and
-- the outer one's parameters share their names with nothing else, for there they are numbered.
--
-- @const SHORT, SHORT_NUMBER, SHORT_BYTES, SHORT_PERIODS from algorithms/bucket/format.lua
-- @const EXACT from core/mul-div.ts
-- @const MIN_SLACK_US from algorithms/decide.ts
fast.b = function(limit, period, capacity, maximum, mode)
  limit, period, capacity, maximum, mode = limit + 0, period + 0, capacity + 0, maximum + 0, mode + 0
  if mode == 1 or mode == 3 or limit == 0 or period >= SHORT_PERIODS then return nil end

  return function(value, cost, calls)
    -- `unpack`.
    local used, remainder, expiry = 0, 0, 0
    if value then
      if #value ~= SHORT_BYTES then return nil end
      local format, per, last
      format, used, remainder, per, last, expiry = structUnpack(SHORT, value)
      if format ~= SHORT_NUMBER or per ~= period or last > raw or raw >= expiry * 1000 or used > maximum then return nil end
      -- `advance`, with mulDiv's first three lines. "%" calls no function, and is exact below 2^53.
      local direct = (raw - last) * limit
      if direct >= EXACT then return nil end
      local left = direct % period
      used = used - (direct - left) / period
      remainder = remainder - left
      if remainder < 0 then used, remainder = used - 1, remainder + period end
      if used < 0 then used, remainder = 0, 0 end
    end

    local available = capacity - used - (remainder > 0 and 1 or 0)
    if cost > available or cost == 0 then
      local direct, wait = used * period, 0
      if cost > capacity or direct >= EXACT then return nil end
      -- `timeToFull` and `timeUntil`.
      local reset = floor(direct / limit)
      reset = reset + ceil((direct - reset * limit + remainder) / limit)
      if cost > available then
        direct = (used + cost - capacity) * period
        wait = floor(direct / limit)
        wait = wait + ceil((direct - wait * limit + remainder) / limit)
      end
      -- @include algorithms/unchanged.lua
      return false, available, wait, reset
    end

    -- `take`.
    local first = used + cost
    used, available = used + cost * calls, available - cost * calls
    local direct = used * period + remainder
    if available < 0 or direct >= EXACT then return nil end
    -- `timeToFull`, which rounds up.
    local left = direct % limit
    local reset = (direct - left) / limit + (left > 0 and 1 or 0)

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

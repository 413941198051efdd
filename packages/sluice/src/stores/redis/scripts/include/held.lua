-- Consumes that are sent again with another calendar, and what comes behind them on their keys.
--
-- Given   held        by index of the key, the time that the calendar must cover; nil if nothing is held
--
-- @const NEED_CALENDAR from algorithms/kernel.ts
-- @const TIME_FOLLOWS, REPEATS_FOLLOW from stores/redis/wire.ts

local function hold(now, first, last)
  held = held or {}
  for at = first, last do held[at] = now end
end

-- Answers for `calls` consumes on KEYS[first] to KEYS[last], which are not decided.
local function holdToo(now, first, last, calls)
  hold(now, first, last)
  local behind, repeats = now > raw, calls > 1
  n = n + 1
  reply[n] = NEED_CALENDAR + (behind and TIME_FOLLOWS or 0) + (repeats and REPEATS_FOLLOW or 0)
  if behind then
    n = n + 1
    reply[n] = now
  end
  if repeats then
    n = n + 1
    reply[n] = calls - 1
  end
end

-- The expiry rule, once for all who decide: lines of `measure` in decide.ts.
--
-- Given   raw, reset     µs
--         soonest        µs: when the state may be forgotten at the earliest
--         expiry         ms: when the stored state expires; 0 = nothing is stored
--         expiresAt      µs: the same
-- Makes   moved          whether that is too soon or too late
--         expiry         ms: when it expires instead, if so
--
-- @const MIN_SLACK_US from algorithms/decide.ts
local latest = soonest + (reset > MIN_SLACK_US and reset or MIN_SLACK_US)
local moved = expiresAt < soonest or expiresAt > latest
if moved then expiry = floor(latest / 1000) end

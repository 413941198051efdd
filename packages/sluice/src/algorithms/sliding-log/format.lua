-- What Redis stores of a sliding log: a hash. Amounts are thousandths, times µs, the expiry ms.
--
-- META  field "m": byte 1 is the format's number; then first I6, head - first I4, next - head I4, live I6, total I7,
--       window I6, windowUntil I7, last I7, blockedUntil I7, expiry I6
-- HIT   field "<seq>": time I7, running sum I7
local META = '<BI6I4I4I6I7I6I7I7I7I6'
local META_NUMBER = 1
-- A value of more than 64 would cost Redis the compact form of small hashes.
local META_BYTES = 61

local HIT = '<I7I7'

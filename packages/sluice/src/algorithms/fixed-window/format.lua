-- What Redis stores of a window, in two formats. Amounts are thousandths, times µs, the expiry ms.
--
-- SHORT    count I6, end I7, last I7, expiry I6
-- BLOCKED  count I6, end I7, last I7, blockedUntil I7, expiry I6
--
-- Byte 1 is the format's number.
local SHORT = '<BI6I7I7I6'
local SHORT_NUMBER = 1
local SHORT_BYTES = 27

local BLOCKED = '<BI6I7I7I7I6'
local BLOCKED_NUMBER = 2
local BLOCKED_BYTES = 34

-- What Redis stores of a bucket, in three formats. Amounts are thousandths, times µs, the expiry ms.
--
-- SHORT     used I6, remainder I3, per I3, last I7, expiry I6
-- FULL      used I6, remainder I6, per I6, since I7, last I7, blockedUntil I7, expiry I6:
--           with an anchor, a block or a long period
-- RESERVED  the same, then opened I7, sold I7, ends I7: with reservations
--
-- Byte 1 is the format's number.
local SHORT = '<BI6I3I3I7I6'
local SHORT_NUMBER = 1
local SHORT_BYTES = 26
-- Periods of the short format are below this.
local SHORT_PERIODS = 16777216

local FULL = '<BI6I6I6I7I7I7I6'
local FULL_NUMBER = 2
local FULL_BYTES = 46

local RESERVED = '<BI6I6I6I7I7I7I6I7I7I7'
local RESERVED_NUMBER = 3
local RESERVED_BYTES = 67

-- What Redis stores of a sliding window. Amounts are thousandths, times µs, the expiry ms.
--
-- VALUE  previous I6, current I6, end I7, width I6, last I7, blockedUntil I7, expiry I6
--
-- Byte 1 is the format's number.
local VALUE = '<BI6I6I7I6I7I7I6'
local VALUE_NUMBER = 1
local VALUE_BYTES = 46

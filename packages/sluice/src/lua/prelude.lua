-- What every script starts with: names for what is used often, and the wire's numbers.
local call = redis.call
local structPack, structUnpack, floor, ceil = struct.pack, struct.unpack, math.floor, math.ceil

-- Readiness, then the errors that only a store can meet, then the reply of calls that are told in one.
local READY, NEED_CALENDAR, LOG_FULL, WRONG_TYPE, WRONG_FORMAT, RUN = 0, 1, 2, 3, 4, 5
-- Flags beside the readiness of a call, and what counts calls that need neither.
local TIME_FOLLOWS, REASONS_FOLLOW, REPEATS_FOLLOW, PLAIN = 8, 16, 32, 64
-- A state is kept at most so much longer than it has to be, or as much again.
local MIN_SLACK = 1000000
-- Integers below are exact.
local EXACT = 9007199254740992

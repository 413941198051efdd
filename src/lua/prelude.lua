-- What every script starts with: names for what is used often, the wire's numbers, the table of kernels.
local call, pcallRedis = redis.call, redis.pcall
local byte, structPack, structUnpack = string.byte, struct.pack, struct.unpack

-- Readiness, then the errors that only a store can meet.
local READY, NEED_CALENDAR, LOG_FULL, WRONG_TYPE, WRONG_FORMAT = 0, 1, 2, 3, 4
local CONSUME, CONSUME_UP_TO, PEEK, REFUND, PENALIZE, BLOCK, UNBLOCK, RESET = 1, 2, 3, 4, 5, 6, 7, 8
local RESERVE, CANCEL = 9, 10
local OK, QUOTA, TOO_COSTLY, BLOCKED = 0, 1, 2, 3
local UNIT, NEVER, MAX_USED = 1000, -1, 35184372088832
-- A state is kept at most so much longer than it has to be, or as much again.
local MIN_SLACK = 1000000

-- A value of another type is the fault of one key; any other error, such as a missing permission, is not.
local function wrongType(failure)
  if not failure.err:find('WRONGTYPE', 1, true) then error(failure.err, 0) end
  return WRONG_TYPE
end

-- By tag. Each reads its parameters behind ARGV[at] and returns them with the index of the last.
local kernels = {}

-- Begins a batch: reads the clock, the policies and the states.
--
-- KEYS  distinct keys of seats; after those of a refund or a cancel one that marks that it was done
-- ARGV  now in µs, or '' for the server's own clock
--       the number of policies, then each one's tag and numbers
--       then groups of calls that differ in their keys alone: verb, µs of a block or of the
--       longest wait, index of the first key, keys from one call to the next (0: all on the same),
--       calls, number of seats, and for each seat its policy and cost; and of a cancel when its booking
--       may start, when its line opened, and what that had sold
-- Reply the raw clock, then for each call: readiness and flags; the time of the decision if it is not
--       the raw clock; and where it is ready, what consumeUpTo granted or cancel gave back, or of a
--       reserve that stands well µs until the start, when its line opened, and what that has sold; and
--       for each seat: room, reset,
--       and, unless all of the call's seats stand well, standing and wait; and if the calls that follow
--       in the group got the very same, how many they are
--
-- Arguments become numbers by "+ 0", which costs half of tonumber().

-- Flags beside the readiness of a call: most replies need none, and each number costs.
local TIME_FOLLOWS, STANDINGS_FOLLOW, REPEATS_FOLLOW = 8, 16, 32

local cursor = 2
local injected = ARGV[1] ~= ''
local raw
if injected then
  raw = ARGV[1] + 0
else
  local time = call('TIME')
  raw = time[1] * 1000000 + time[2]
end

local policies = {}
for i = 1, ARGV[2] + 0 do
  cursor = cursor + 1
  local kernel = kernels[ARGV[cursor]]
  local params, last = kernel.params(cursor)
  policies[i] = { kernel = kernel, params = params }
  cursor = last
end

-- One MGET for all keys: it leaves out what is not a string, so what is missing may be of another type.
local values = call('MGET', unpack(KEYS))

-- Under a clock of the tests the real one must not evict a key before its time.
local INJECTED_CLOCK_MIN_TTL_MS = 3600000
local function injectedTtl(s)
  return max(INJECTED_CLOCK_MIN_TTL_MS, s.expiry - floor(raw / 1000))
end

-- KEEPTTL where the expiry did not move: it costs half of PXAT.
local function store(key, value, s)
  if not s.moved then
    call('SET', key, value, 'KEEPTTL')
  elseif injected then
    call('SET', key, value, 'PX', injectedTtl(s))
  else
    call('SET', key, value, 'PXAT', s.expiry)
  end
end

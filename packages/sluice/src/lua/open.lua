-- Begins a batch: reads the clock, where the policies are, and the states.
--
-- KEYS  distinct keys of debits; after those of a refund or a cancel one that marks that it was done
-- ARGV  now in µs, or '' for the server's own clock
--       the number of policies, then each one's tag, how many numbers it has, and these
--       then groups of calls that differ in their keys alone: µs of a block or of
--       the longest wait, index of the first key, keys from one call to the next (0: all on the same), calls;
--       where all are consumes on one debit, its policy and cost; else verb, number of debits, and for each debit
--       its policy and cost; and of a cancel when its receipt may start, when its line opened, and what that
--       had sold
-- Reply the raw clock, then for each call: readiness and flags; the time of the decision if it is not
--       the raw clock; and where it is ready, what consumeUpTo granted or cancel gave back, or of a
--       reserve that is admitted µs until the start, when its line opened, and what that has sold; and
--       for each debit: what is available, reset,
--       and, unless all of the call's debits are admitted, reason and wait; and if the calls that follow
--       in the group got the very same, how many they are.
--       Or PLAIN times the number of consumes that all are admitted, and then for each: what is available, reset.
--       Or RUN, how many consumes of the group are admitted one after another on the same key, the what is available after the
--       last of them, and what tells their resets: a bucket's remainder, or a window's reset
--
-- Arguments become numbers by "+ 0", which costs half of tonumber(). Numbers given to Redis become text, which
-- costs as much as some commands: what is always the same is text already.

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
  policies[i] = { tag = ARGV[cursor], at = cursor + 1, fast = nil, kernel = nil, params = nil }
  cursor = cursor + 1 + ARGV[cursor + 1]
end

-- One MGET for all keys: it leaves out what is not a string, so what is missing may be of another type.
local values = call('MGET', unpack(KEYS))

local ttlOption, expireCommand, ttlOf = 'PXAT', 'PEXPIREAT', nil
if injected then
  -- Under a clock of the tests the real one must not evict a key before its time.
  local INJECTED_CLOCK_MIN_TTL_MS = 3600000
  ttlOption, expireCommand = 'PX', 'PEXPIRE'
  ttlOf = function(expiry)
    return math.max(INJECTED_CLOCK_MIN_TTL_MS, expiry - floor(raw / 1000))
  end
end

local reply, n = { raw }, 1

-- Decides a batch of nothing but consumes on one debit each, whose state is one value: nearly all there are.
--
-- KEYS    one for each debit      consumes on the same key share it
--
-- ARGV    now                     µs; '' = the server's own clock
--         policies                how many; then of each:
--           tag                   of its kernel
--           count                 of its numbers
--           numbers               see the kernel
--         groups                  to the end: consumes that differ in their keys alone; of each:
--           block                 µs for which a denial blocks; 0 = not
--           first                 index of the first consume's key
--           stride                keys from one consume to the next; 0 = all on the same
--           calls                 how many
--           policy                its index, from 1
--           cost                  thousandths
--
-- Reply   raw                     the clock, µs
--         heads                   of one consume or several, one of these:
--           PLAIN * count         all of these consumes are admitted; of each:
--             available, reset    thousandths, µs
--           RUN                   consumes on one key that are admitted one after another:
--             count               how many
--             available           behind the last of them, thousandths
--             rest                what tells their resets, see the fast path
--           readiness             or an error of wire.ts; and flags
--             now                 TIME_FOLLOWS: the time of the decision, µs
--             available, reset    if it is ready: thousandths, µs
--             reason, wait        REASONS_FOLLOW: it is denied; µs
--             count               REPEATS_FOLLOW: how many consumes of the group more got the very same
--
-- @include stores/redis/scripts/include/prelude.lua
-- @include stores/redis/scripts/include/clock.lua
-- @include stores/redis/scripts/include/open.lua
--
-- @const PLAIN, RUN, REASONS_FOLLOW, REPEATS_FOLLOW from stores/redis/wire.ts
-- @const READY, NEED_CALENDAR from algorithms/kernel.ts
-- @const REASON from algorithms/debit.ts

-- By tag: makes what decides usual consumes of a policy, see algorithms/bucket/fast.lua.
local fast = {}
-- @fast-paths

-- The general path decides what is left. It is made only when a batch has such a consume: a script creates its functions
-- each time it runs. And its names are its own, for each name from outside costs the making of a function.
--
-- A consume that needs another calendar is sent again. What comes behind it on its key must not be decided before it, so it
-- is sent again too.
local held
local function makeGeneral()
  -- @include stores/redis/scripts/include/prelude.lua
  -- @include stores/redis/scripts/include/kernels.lua
  -- @include core/mul-div.lua
  -- @kernels
  -- @include algorithms/consume-one.lua
  -- @include stores/redis/scripts/include/held.lua

  -- Consumes of one cost on KEYS[at], one after another.
  return function(index, cost, duration, at, calls)
    if held and held[at] then return holdToo(held[at], at, at, calls) end
    local policy = policyOf(index)
    local state, failure = load(policy.kernel, at)
    if not failure then
      local readiness, now = consumeOne(policy.kernel, policy.params, state, cost, duration, at, calls)
      if readiness == NEED_CALENDAR then hold(now, at, at) end
    elseif calls > 1 then
      reply[n + 1], reply[n + 2] = failure + REPEATS_FOLLOW, calls - 1
      n = n + 2
    else
      n = n + 1
      reply[n] = failure
    end
  end
end

local general
-- The index in the reply of the count of admitted consumes; 0 = they must be counted again.
local plain = 0

while cursor < #ARGV do
  local duration, at, stride = ARGV[cursor + 1] + 0, ARGV[cursor + 2] + 0, ARGV[cursor + 3] + 0
  local calls, index, cost = ARGV[cursor + 4] + 0, ARGV[cursor + 5] + 0, ARGV[cursor + 6] + 0
  cursor = cursor + 6
  local policy = policies[index]
  if policy.fast == nil then
    local make, from = fast[policy.tag], policy.at
    policy.fast = make and make(unpack(ARGV, from + 1, from + ARGV[from])) or false
  end
  local consumeFast = policy.fast
  -- Without a stride all calls are on one key.
  local runs, length = calls, 1
  if stride == 0 then runs, length = 1, calls end
  for _ = 1, runs do
    local stored, value, available, rest, reset, expiry = values[at]
    if consumeFast and not held then value, available, rest, reset, expiry = consumeFast(stored, cost, length) end
    if ttlOf and expiry then expiry = ttlOf(expiry) end
    if value and stored then
      call('SETRANGE', KEYS[at], '0', value)
      if expiry then call(expireCommand, KEYS[at], expiry) end
      values[at] = value
    elseif value then
      -- What MGET left out may be of another type.
      value = call('SET', KEYS[at], value, 'NX', ttlOption, expiry) and value or nil
      values[at] = value or false
    end

    if value == false and stored and rest > 0 and duration == 0 then
      -- All are denied, and nothing changes.
      local repeats = length > 1
      reply[n + 1] = READY + REASONS_FOLLOW + (repeats and REPEATS_FOLLOW or 0)
      reply[n + 2], reply[n + 3], reply[n + 4], reply[n + 5] = available, reset, REASON.quota, rest
      n = n + 5
      if repeats then
        n = n + 1
        reply[n] = length - 1
      end
      plain = 0
    elseif not value then
      general = general or makeGeneral()
      general(index, cost, duration, at, length)
      plain = 0
    elseif length > 1 then
      reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = RUN, length, available, rest
      n = n + 4
      plain = 0
    else
      if plain == 0 then
        n = n + 1
        plain = n
        reply[n] = 0
      end
      reply[plain] = reply[plain] + PLAIN
      reply[n + 1], reply[n + 2] = available, reset
      n = n + 2
    end
    at = at + stride
  end
end
return reply

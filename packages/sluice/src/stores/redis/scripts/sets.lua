-- Decides a batch of nothing but consumes whose states are one value each, some of them on several debits: sets of
-- policies. All of a consume's debits are made, or none.
--
-- Two texts are made of it, see straight.ts. In one, for a batch whose consumes are all over the same sequence of algorithms,
-- lines from "@each" to "@end" stand once for each debit, with its index for #, and at "@ask" the lines of its fast path. In
-- the other, for all else, they are a loop, names with # are tables, and at "@ask" a function is called. What only that one
-- has stands from "@loop" to "@end", what the first one has in its place at "@ahead" and "@numbers".
--
-- KEYS    one for each debit      the keys of a consume are adjacent; consumes on the same keys share them
--
-- ARGV    now                     µs; '' = the server's own clock
--         policies                how many; then of each:
--           tag                   of its kernel
--           count                 of its numbers
--           numbers               see the kernel
--         groups                  to the end: consumes that differ in their keys alone; of each:
--           block                 µs for which a denial blocks; 0 = not
--           first                 index of the first consume's first key
--           stride                keys from one consume to the next; 0 = all on the same
--           calls                 how many
--           debits                how many; then of each:
--             policy              its index, from 1
--             cost                thousandths
--
-- Reply   raw                     the clock, µs
--         heads                   as in consume.lua, but where that has an available and what follows it, they stand here
--                                 for each debit: available, reset; available, rest; available, reset, reason, wait
--
-- @include stores/redis/scripts/include/prelude.lua
-- @include stores/redis/scripts/include/clock.lua
-- @include stores/redis/scripts/include/open.lua
--
-- @const PLAIN, RUN, REASONS_FOLLOW, REPEATS_FOLLOW from stores/redis/wire.ts
-- @const READY from algorithms/kernel.ts
-- @const REASON from algorithms/debit.ts

-- @loop
-- By tag: makes what decides usual consumes of a policy, see algorithms/bucket/fast.lua.
local fast = {}
-- @fast-paths
local ask = {}
-- @end
-- @ahead

-- The general path decides what is left, and holds back what comes behind a consume that is sent again: see consume.lua.
local held
local function makeGeneral()
  -- @include stores/redis/scripts/include/prelude.lua
  -- @include stores/redis/scripts/include/kernels.lua
  -- @include core/mul-div.lua
  -- @kernels
  -- @include algorithms/debit.lua
  -- @include algorithms/reservations.lua
  -- @include algorithms/decide.lua
  -- @include stores/redis/scripts/include/held.lua
  -- @include stores/redis/scripts/include/general-set.lua
  return generalSet
end

local general
-- The index in the reply of the count of admitted consumes, and that; 0 = they must be counted again.
local plain, admitted = 0, 0
-- Of a consume, by debit: its policy and its cost; what is stored, what is asked for, and what the policy answers.
local indexes, costs = {}, {}
-- @names stored, cost, new, available, rest, reset, expiry

while cursor < #ARGV do
  local duration, at, stride = ARGV[cursor + 1] + 0, ARGV[cursor + 2] + 0, ARGV[cursor + 3] + 0
  local calls, count = ARGV[cursor + 4] + 0, ARGV[cursor + 5] + 0
  cursor = cursor + 5
  for i = 1, count do
    indexes[i], costs[i] = ARGV[cursor + 1] + 0, ARGV[cursor + 2] + 0
    cursor = cursor + 2
  end
  local isFast = true
  -- @loop
  for i = 1, count do
    local policy = policies[indexes[i]]
    if policy.fast == nil then
      local make, from = fast[policy.tag], policy.at
      policy.fast = make and make(unpack(ARGV, from + 1, from + ARGV[from])) or false
    end
    isFast, ask[i] = isFast and policy.fast, policy.fast
  end
  -- @end
  -- @numbers
  -- Without a stride all calls are on the same keys.
  local runs, length = calls, 1
  if stride == 0 then runs, length = 1, calls end

  for _ = 1, runs do
    local before, isUsual, isNew, isDenied = at - 1, isFast and not held, false, false
    -- Every policy is asked before anything is written.
    -- @each
    if isUsual then
      stored#, cost# = values[before + #], costs[#]
      -- @ask
      if new# then
        if ttlOf and expiry# then expiry# = ttlOf(expiry#) end
        isNew = isNew or not stored#
      elseif new# == nil or rest# == 0 or duration > 0 then
        isUsual = false
      else
        isDenied = true
      end
    end
    -- @end

    if isUsual and isDenied then
      -- Nothing changes, for those who had room neither.
      -- @each
      if new# then
        cost# = 0
        -- @ask
      end
      if not stored# and call('EXISTS', KEYS[before + #]) == 1 then isUsual = false end
      -- @end
    elseif isUsual and isNew then
      -- What MGET left out may be of another type, so these are first.
      local made = 0
      -- @each
      if isUsual and not stored# then
        isUsual = call('SET', KEYS[before + #], new#, 'NX', ttlOption, expiry#)
        if isUsual then made = # end
      end
      -- @end
      if not isUsual then
        -- @each
        if # <= made and not stored# then call('DEL', KEYS[before + #]) end
        -- @end
      end
    end

    if not isUsual then
      general = general or makeGeneral()
      general(indexes, costs, count, duration, at, length)
      plain = 0
    elseif isDenied then
      local repeats = length > 1
      n = n + 1
      reply[n] = READY + REASONS_FOLLOW + (repeats and REPEATS_FOLLOW or 0)
      -- @each
      reply[n + 1], reply[n + 2] = available#, reset#
      reply[n + 3], reply[n + 4] = rest# > 0 and REASON.quota or REASON.ok, rest#
      n = n + 4
      -- @end
      if repeats then
        n = n + 1
        reply[n] = length - 1
      end
      plain = 0
    else
      if length > 1 then
        reply[n + 1], reply[n + 2] = RUN, length
        n = n + 2
        plain = 0
      else
        if plain == 0 then
          n = n + 1
          plain, admitted = n, 0
        end
        admitted = admitted + PLAIN
        reply[plain] = admitted
      end
      -- @each
      if stored# then
        call('SETRANGE', KEYS[before + #], '0', new#)
        if expiry# then call(expireCommand, KEYS[before + #], expiry#) end
      end
      values[before + #] = new#
      reply[n + 1], reply[n + 2] = available#, length > 1 and rest# or reset#
      n = n + 2
      -- @end
    end
    at = at + stride
  end
end
return reply

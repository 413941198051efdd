-- Decides a batch of nothing but consumes whose states are one value each, some of them on several debits: sets of
-- policies. All of a consume's debits are made, or none.
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

-- By tag: makes what decides usual consumes of a policy, see algorithms/bucket/fast.lua.
local fast = {}
-- @fast-paths

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
-- The index in the reply of the count of admitted consumes; 0 = they must be counted again.
local plain = 0
-- Of a consume, by debit: its policy, and what that answers.
local indexes, asks, costs = {}, {}, {}
local news, availables, rests, resets, expiries = {}, {}, {}, {}, {}

while cursor < #ARGV do
  local duration, at, stride = ARGV[cursor + 1] + 0, ARGV[cursor + 2] + 0, ARGV[cursor + 3] + 0
  local calls, count = ARGV[cursor + 4] + 0, ARGV[cursor + 5] + 0
  cursor = cursor + 5
  local hasFast = true
  for i = 1, count do
    local index = ARGV[cursor + 1] + 0
    local policy = policies[index]
    if policy.fast == nil then
      local make, from = fast[policy.tag], policy.at
      policy.fast = make and make(unpack(ARGV, from + 1, from + ARGV[from])) or false
    end
    hasFast = hasFast and policy.fast
    indexes[i], asks[i], costs[i] = index, policy.fast, ARGV[cursor + 2] + 0
    cursor = cursor + 2
  end
  -- Without a stride all calls are on the same keys.
  local runs, length = calls, 1
  if stride == 0 then runs, length = 1, calls end

  for _ = 1, runs do
    local before, isUsual, isNew, isDenied = at - 1, hasFast and not held, false, false
    -- Every policy is asked before anything is written.
    local i = 1
    while isUsual and i <= count do
      local stored = values[before + i]
      local value, available, rest, reset, expiry = asks[i](stored, costs[i], length)
      if value then
        if ttlOf and expiry then expiry = ttlOf(expiry) end
      elseif value == nil or rest == 0 or duration > 0 then
        isUsual = false
      else
        isDenied = true
      end
      news[i], availables[i], rests[i], resets[i], expiries[i] = value, available, rest, reset, expiry
      isNew = isNew or not stored
      i = i + 1
    end

    if isUsual and isDenied then
      -- Nothing changes, for those who had room neither.
      for i = 1, count do
        local stored = values[before + i]
        if news[i] then news[i], availables[i], rests[i], resets[i] = asks[i](stored, 0, 1) end
        if not stored and call('EXISTS', KEYS[before + i]) == 1 then isUsual = false end
      end
    elseif isUsual and isNew then
      -- What MGET left out may be of another type, so these are first.
      for i = 1, count do
        if isUsual and not values[before + i] then
          isUsual = call('SET', KEYS[before + i], news[i], 'NX', ttlOption, expiries[i])
          for j = 1, isUsual and 0 or i - 1 do
            if not values[before + j] then call('DEL', KEYS[before + j]) end
          end
        end
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
      for i = 1, count do
        local wait = rests[i]
        reply[n + 1], reply[n + 2], reply[n + 3] = availables[i], resets[i], wait > 0 and REASON.quota or REASON.ok
        reply[n + 4] = wait
        n = n + 4
      end
      if repeats then
        n = n + 1
        reply[n] = length - 1
      end
      plain = 0
    else
      local seconds = resets
      if length > 1 then
        reply[n + 1], reply[n + 2] = RUN, length
        n = n + 2
        plain, seconds = 0, rests
      else
        if plain == 0 then
          n = n + 1
          plain = n
          reply[n] = 0
        end
        reply[plain] = reply[plain] + PLAIN
      end
      for i = 1, count do
        if values[before + i] then
          call('SETRANGE', KEYS[before + i], '0', news[i])
          if expiries[i] then call(expireCommand, KEYS[before + i], expiries[i]) end
        end
        values[before + i] = news[i]
        reply[n + 1], reply[n + 2] = availables[i], seconds[i]
        n = n + 2
      end
    end
    at = at + stride
  end
end
return reply

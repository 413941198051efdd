-- Decides a batch of calls of any verb on any number of debits.
--
-- KEYS    one for each debit      debits on the same key share it
--         one mark more           of each refund and cancel that may be sent again: that it was done
--
-- ARGV    now                     µs; '' = the server's own clock
--         policies                how many; then of each:
--           tag                   of its kernel
--           count                 of its numbers
--           numbers               see the kernel
--         groups                  to the end: calls that differ in their keys alone; of each:
--           duration              µs of the block, or of the longest wait
--           stride                keys from one call to the next; 0 = all on the same
--           calls                 how many
--           verb                  see VERBS in decide.ts
--           debits                how many; then of each:
--             policy              its index, from 1
--             cost                thousandths
--             key                 its index in the first call
--           mark                  of a refund or a cancel: index of its mark; 0 = none
--           readyAt, opened, sold  of a cancel: its receipt; and of each debit of it:
--             extra, ended        what was taken beyond the cost, and where the line ended before
--
-- Reply   raw                     the clock, µs
--         calls                   of each:
--           head                  readiness, or an error of wire.ts; and its flags
--           now                   TIME_FOLLOWS: the time of the decision, µs
--           granted               of consumeUpTo, refund and cancel: taken, or given back
--           wait, opened, sold    of a reserve that is admitted: µs until the start, and its receipt; and of each debit:
--             extra, ended        as in ARGV
--           debits                if it is ready; of each:
--             available, reset    thousandths, µs
--             reason, wait        REASONS_FOLLOW: not all are admitted; µs
--
-- @include stores/redis/scripts/include/prelude.lua
-- @include stores/redis/scripts/include/clock.lua
-- @include stores/redis/scripts/include/open.lua
-- @include stores/redis/scripts/include/kernels.lua
-- @include core/mul-div.lua
-- @kernels
-- @include algorithms/debit.lua
-- @include algorithms/reservations.lua
-- @include algorithms/decide.lua
--
-- @const TIME_FOLLOWS, REASONS_FOLLOW from stores/redis/wire.ts
-- @const READY, NEED_CALENDAR from algorithms/kernel.ts
-- @const REASON from algorithms/debit.ts
-- @const VERBS from algorithms/decide.ts
local GIVEN_BACK_REMEMBERED_MS = '60000'

-- What comes behind a call that is sent again, see consume.lua.
local held
-- @include stores/redis/scripts/include/held.lua

-- By index of the key: its state, read once for calls of one policy, and that policy; and for those that changed, its
-- kernel and its time to live.
local states, policyAt, changed, needs = {}, {}, {}, {}

-- Stores what the calls so far made of KEYS[at].
local function save(at)
  local kernel, s = changed[at], states[at]
  changed[at] = nil
  if needs[at] == 0 then
    call('DEL', KEYS[at])
    values[at] = false
  elseif kernel.save then
    kernel.save(s)
    if s.moved then expire(KEYS[at], s.expiry) end
  else
    store(at, kernel.pack(s), s)
  end
end

-- Reads the state of a debit, unless a call of the same policy did. A call that changes nothing still adapts the state to
-- its own options, which no other call may see.
local function read(debit)
  local at, failure = debit.at, nil
  debit.state = states[at]
  if policyAt[at] ~= debit.policy then
    if changed[at] then save(at) end
    debit.state = nil
  end
  if not debit.state then
    debit.state, failure = load(debit.kernel, at)
    states[at], policyAt[at] = debit.state, debit.policy
  end
  return failure
end

-- Whether one of several debits is ahead of the clock, which takes the others to its time. Without a change that is not
-- their time: what they were before is stored first.
local function isAhead(debits)
  local ahead = false
  for i = 1, #debits do ahead = ahead or debits[i].state.last > raw end
  for i = 1, #debits do
    if ahead and changed[debits[i].at] then save(debits[i].at) end
  end
  return ahead
end

-- Adds what became of a call to the reply.
local function answer(verb, debits, result)
  local isReady, denied = result.readiness == READY, false
  for i = 1, #debits do denied = denied or debits[i].reason ~= REASON.ok end
  local behind, says = result.now > raw, isReady and denied
  n = n + 1
  reply[n] = result.readiness + (behind and TIME_FOLLOWS or 0) + (says and REASONS_FOLLOW or 0)
  if behind then
    n = n + 1
    reply[n] = result.now
  end
  if not isReady then return end
  if verb == VERBS.consumeUpTo or verb == VERBS.refund or verb == VERBS.cancel then
    n = n + 1
    reply[n] = result.granted
  elseif not denied and verb == VERBS.reserve then
    reply[n + 1], reply[n + 2], reply[n + 3] = result.wait, result.opened, result.sold
    n = n + 3
    for i = 1, #debits do
      reply[n + 1], reply[n + 2] = result.charges[i].extra, result.charges[i].ended
      n = n + 2
    end
  end
  -- @include stores/redis/scripts/include/answer-debits.lua
end

local result = { readiness = READY, now = raw, granted = 0, changed = false }
while cursor < #ARGV do
  local duration, stride, calls = ARGV[cursor + 1] + 0, ARGV[cursor + 2] + 0, ARGV[cursor + 3] + 0
  local verb, count = ARGV[cursor + 4] + 0, ARGV[cursor + 5] + 0
  cursor = cursor + 5
  local debits = {}
  for i = 1, count do
    local policy = policyOf(ARGV[cursor + 1] + 0)
    debits[i] = {
      policy = policy, kernel = policy.kernel, params = policy.params, cost = ARGV[cursor + 2] + 0,
      at = ARGV[cursor + 3] + 0, state = false, asked = 0, reason = REASON.ok, available = 0, wait = 0, reset = 0,
    }
    cursor = cursor + 3
  end
  local mark, receipt
  if verb == VERBS.refund or verb == VERBS.cancel then
    mark = ARGV[cursor + 1] ~= '0' and ARGV[cursor + 1] + 0
    cursor = cursor + 1
  end
  if verb == VERBS.cancel then
    receipt = { readyAt = ARGV[cursor + 1] + 0, opened = ARGV[cursor + 2] + 0, sold = ARGV[cursor + 3] + 0, charges = {} }
    cursor = cursor + 3
    for i = 1, count do
      receipt.charges[i] = { extra = ARGV[cursor + 1] + 0, ended = ARGV[cursor + 2] + 0 }
      cursor = cursor + 2
    end
  end

  for _ = 1, calls do
    local failure, heldUntil
    for i = 1, count do
      failure = read(debits[i]) or failure
      heldUntil = heldUntil or held and held[debits[i].at]
    end
    -- A client that lost the connection may send the same again: it gives back once.
    if mark and not failure and not heldUntil and not call('SET', KEYS[mark], '', 'NX', 'PX', GIVEN_BACK_REMEMBERED_MS) then
      for i = 1, count do debits[i].cost = 0 end
    end

    if heldUntil then
      for i = 1, count do hold(heldUntil, debits[i].at, debits[i].at) end
      holdToo(heldUntil, 1, 0, 1)
    elseif failure then
      n = n + 1
      reply[n] = failure
    else
      local ahead = count > 1 and isAhead(debits)
      decide(verb, debits, raw, duration, result, receipt)
      answer(verb, debits, result)
      for i = 1, result.readiness == NEED_CALENDAR and count or 0 do hold(result.now, debits[i].at, debits[i].at) end
      if result.changed then
        for i = 1, count do
          local debit = debits[i]
          changed[debit.at], needs[debit.at] = debit.kernel, debit.reset
          -- Full is the same as never seen, to the next call of the batch too.
          if debit.reset == 0 then debit.kernel.clear(debit.state) end
        end
        -- What a refund leaves may be tidied by a call that changes nothing, which is not to be stored.
        for i = 1, (verb == VERBS.refund or verb == VERBS.cancel) and count or 0 do
          local at = debits[i].at
          if changed[at] then save(at) end
          states[at] = nil
        end
      elseif ahead then
        for i = 1, count do states[debits[i].at] = nil end
      end
    end
    for i = 1, count do debits[i].at = debits[i].at + stride end
  end
end

for at = 1, #KEYS do
  if changed[at] then save(at) end
end
return reply

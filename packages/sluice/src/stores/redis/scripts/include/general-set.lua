-- Consumes of the same costs on the same debits, one after another, by the verbs' own decision. What became of them goes
-- to the reply as the head of sets.lua says.
--
-- @const VERBS from algorithms/decide.ts
-- @const READY, NEED_CALENDAR from algorithms/kernel.ts
-- @const REASON from algorithms/debit.ts
-- @const TIME_FOLLOWS, REASONS_FOLLOW, REPEATS_FOLLOW from stores/redis/wire.ts

-- Adds what became of `calls` consumes that got the same.
local function answerSet(debits, result, calls)
  local isReady, denied = result.readiness == READY, false
  for i = 1, #debits do denied = denied or debits[i].reason ~= REASON.ok end
  local behind, says = result.now > raw, isReady and denied
  n = n + 1
  reply[n] = result.readiness + (behind and TIME_FOLLOWS or 0) + (says and REASONS_FOLLOW or 0)
    + (calls > 1 and REPEATS_FOLLOW or 0)
  if behind then
    n = n + 1
    reply[n] = result.now
  end
  if isReady then
    -- @include stores/redis/scripts/include/answer-debits.lua
  end
  if calls > 1 then
    n = n + 1
    reply[n] = calls - 1
  end
end

-- Used again by each set.
local debits, result = {}, { readiness = READY, now = raw, granted = 0, changed = false }

-- `indexes` and `costs` of the policies, whose states are under KEYS from `at` on.
local function generalSet(indexes, costs, count, duration, at, calls)
  local failure, heldUntil
  for i = at, held and at + count - 1 or 0 do heldUntil = heldUntil or held[i] end
  if heldUntil then return holdToo(heldUntil, at, at + count - 1, calls) end
  for i = #debits, count + 1, -1 do debits[i] = nil end
  for i = 1, count do
    local policy, debit, why = policyOf(indexes[i]), debits[i], nil
    if not debit then
      debit = { asked = 0, reason = REASON.ok, available = 0, wait = 0, reset = 0 }
      debits[i] = debit
    end
    debit.kernel, debit.params, debit.cost = policy.kernel, policy.params, costs[i]
    debit.state, why = load(policy.kernel, at + i - 1)
    failure = why or failure
  end
  if failure then
    result.readiness, result.now = failure, raw
    return answerSet(debits, result, calls)
  end

  local written = false
  while calls > 0 do
    decide(VERBS.consume, debits, raw, duration, result)
    if result.readiness == NEED_CALENDAR then hold(result.now, at, at + count - 1) end
    -- After a call that changes nothing the rest get the same answer.
    local same = result.changed and 1 or calls
    answerSet(debits, result, same)
    calls = calls - same
    written = written or result.changed
  end

  for i = 1, written and count or 0 do
    local debit = debits[i]
    if debit.reset == 0 then
      -- Nothing counts what is unlimited: the state is the same as none.
      call('DEL', KEYS[at + i - 1])
      values[at + i - 1] = false
    else
      store(at + i - 1, debit.kernel.pack(debit.state), debit.state)
    end
  end
end

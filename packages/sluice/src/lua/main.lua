-- Batches of calls of any verb on any number of debits.
local GIVEN_BACK_REMEMBERED_MS = 60000

-- By index of the key: its state, read once; and for those that changed, its kernel and its time to live.
local states, changed, needs = {}, {}, {}

-- Makes the state of a debit's key; returns why not, if not.
local function load(debit)
  local kernel, key = debit.kernel, debit.key
  local state, failure
  if kernel.load then
    state, failure = kernel.load(key)
  else
    local value = values[debit.at]
    if not value and call('EXISTS', key) == 1 then
      failure = WRONG_TYPE
    else
      state = kernel.fresh(key)
      if value and not kernel.unpack(state, value) then state, failure = nil, WRONG_FORMAT end
    end
  end
  states[debit.at] = state
  debit.state = state
  return failure
end

local result = { readiness = READY, now = raw, granted = 0, changed = false }
while cursor < #ARGV do
  local duration, first, stride, calls = ARGV[cursor + 1] + 0, ARGV[cursor + 2] + 0, ARGV[cursor + 3] + 0, ARGV[cursor + 4] + 0
  local verb, count = ARGV[cursor + 5] + 0, ARGV[cursor + 6] + 0
  cursor = cursor + 6
  local debits = {}
  for i = 1, count do
    local policy = policyOf(ARGV[cursor + 1] + 0)
    debits[i] = {
      kernel = policy.kernel, params = policy.params, cost = ARGV[cursor + 2] + 0,
      key = '', at = 0, state = false, asked = 0, reason = OK, available = 0, wait = 0, reset = 0,
    }
    cursor = cursor + 2
  end
  local receipt
  if verb == CANCEL then
    receipt = { readyAt = ARGV[cursor + 1] + 0, opened = ARGV[cursor + 2] + 0, sold = ARGV[cursor + 3] + 0 }
    cursor = cursor + 3
  end

  for _ = 1, calls do
    local failure
    for i = 1, count do
      local debit = debits[i]
      debit.at = first + i - 1
      debit.key = KEYS[debit.at]
      debit.state = states[debit.at]
      if not debit.state then failure = load(debit) or failure end
    end
    -- A client that lost the connection may send the same again: it gives back once.
    if (verb == REFUND or verb == CANCEL) and not failure
      and not call('SET', KEYS[first + count], '', 'NX', 'PX', GIVEN_BACK_REMEMBERED_MS) then
      for i = 1, count do debits[i].cost = 0 end
    end

    if failure then
      n = n + 1
      reply[n] = failure
    else
      decide(verb, debits, raw, duration, result, receipt)
      local isReady, denied = result.readiness == READY, false
      for i = 1, count do
        local debit = debits[i]
        denied = denied or debit.reason ~= OK
        if result.changed then
          changed[debit.at], needs[debit.at] = debit.kernel, debit.reset
          -- Full is the same as never seen, to the next call of the batch too.
          if debit.reset == 0 then debit.kernel.clear(debit.state) end
        end
        states[debit.at] = debit.state
      end
      local behind, says = result.now > raw, isReady and denied
      n = n + 1
      reply[n] = result.readiness + (behind and TIME_FOLLOWS or 0) + (says and REASONS_FOLLOW or 0)
      if behind then
        n = n + 1
        reply[n] = result.now
      end
      if isReady and (verb == CONSUME_UP_TO or verb == CANCEL) then
        n = n + 1
        reply[n] = result.granted
      elseif isReady and not denied and verb == RESERVE then
        reply[n + 1], reply[n + 2], reply[n + 3] = result.wait, result.opened, result.sold
        n = n + 3
      end
      if isReady then
        for i = 1, count do
          local debit = debits[i]
          reply[n + 1], reply[n + 2] = debit.available, debit.reset
          n = n + 2
          if says then
            reply[n + 1], reply[n + 2] = debit.reason, debit.wait
            n = n + 2
          end
        end
      end
    end
    first = first + stride
  end
end

for at = 1, #KEYS do
  local kernel, key, s = changed[at], KEYS[at], states[at]
  if kernel then
    if needs[at] == 0 then
      call('DEL', key)
    elseif kernel.save then
      kernel.save(s)
      if s.moved then expire(key, s.expiry) end
    else
      store(at, kernel.pack(s), s)
    end
  end
end
return reply

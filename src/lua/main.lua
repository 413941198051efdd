-- Decides a batch of calls, one after another, on one reading of the clock.
--
-- KEYS  distinct keys of seats; after those of a refund one that marks that it was done
-- ARGV  now in µs, or '' for the server's own clock
--       the number of policies, then each one's tag and numbers
--       then groups of calls that differ in their keys alone: verb, µs of a block, index of the first
--       key, keys from one call to the next (0: all on the same), calls, number of seats, and for each
--       seat its policy and cost
-- Reply the raw clock, then for each call: readiness and flags; the time of the decision if it is not
--       the raw clock; and where it is ready, what consumeUpTo granted, and for each seat: room, reset,
--       and, unless all of the call's seats stand well, standing and wait
--
-- Arguments become numbers by "+ 0", which costs half of tonumber().
local REFUND_REMEMBERED_MS = 60000
-- Under a clock of the tests the real one must not evict a key before its time.
local INJECTED_CLOCK_MIN_TTL_MS = 3600000

-- Flags beside the readiness of a call: most replies need neither, and each number costs.
local TIME_FOLLOWS, STANDINGS_FOLLOW = 8, 16

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

-- By index of the key: its state, read once; and for those that changed, its kernel and its time to live.
local states, changed, needs = {}, {}, {}

-- One MGET for all keys: it leaves out what is not a string, so what is missing may be of another type.
local values = call('MGET', unpack(KEYS))

-- Makes the state of a seat's key; returns why not, if not.
local function load(seat)
  local kernel, key = seat.kernel, seat.key
  local state, failure
  if kernel.load then
    state, failure = kernel.load(key)
  else
    local value = values[seat.at]
    if value then
      state = kernel.unpack(value)
      if not state then failure = WRONG_FORMAT end
    elseif call('EXISTS', key) == 1 then
      failure = WRONG_TYPE
    else
      state = kernel.fresh(key)
    end
  end
  states[seat.at] = state
  seat.state = state
  return failure
end

local reply, n = { raw }, 1
local verdict = { readiness = READY, now = raw, granted = 0, changed = false }
while cursor < #ARGV do
  local verb, extra, first, stride = ARGV[cursor + 1] + 0, ARGV[cursor + 2] + 0, ARGV[cursor + 3] + 0, ARGV[cursor + 4] + 0
  local calls, count = ARGV[cursor + 5] + 0, ARGV[cursor + 6] + 0
  cursor = cursor + 6
  local seats = {}
  for i = 1, count do
    local policy = policies[ARGV[cursor + 1] + 0]
    seats[i] = {
      kernel = policy.kernel, params = policy.params, cost = ARGV[cursor + 2] + 0,
      key = '', at = 0, state = false, asked = 0, standing = OK, room = 0, wait = 0, reset = 0,
    }
    cursor = cursor + 2
  end

  for _ = 1, calls do
    local failure
    for i = 1, count do
      local seat = seats[i]
      seat.at = first + i - 1
      seat.key = KEYS[seat.at]
      seat.state = states[seat.at]
      if not seat.state then failure = load(seat) or failure end
    end
    -- A client that lost the connection may send the same refund again: it gives back once.
    if verb == REFUND and not failure
      and not call('SET', KEYS[first + count], '', 'NX', 'PX', REFUND_REMEMBERED_MS) then
      for i = 1, count do seats[i].cost = 0 end
    end

    if failure then
      n = n + 1
      reply[n] = failure
    else
      decide(verb, seats, raw, extra, verdict)
      local isReady, denied = verdict.readiness == READY, false
      for i = 1, count do
        local seat = seats[i]
        denied = denied or seat.standing ~= OK
        if verdict.changed then
          changed[seat.at], needs[seat.at] = seat.kernel, seat.reset
          -- Full is the same as never seen, to the next call of the batch too.
          if seat.reset == 0 then clear(seat) end
        end
        states[seat.at] = seat.state
      end
      local behind, says = verdict.now > raw, isReady and denied
      n = n + 1
      reply[n] = verdict.readiness + (behind and TIME_FOLLOWS or 0) + (says and STANDINGS_FOLLOW or 0)
      if behind then
        n = n + 1
        reply[n] = verdict.now
      end
      if isReady and verb == CONSUME_UP_TO then
        n = n + 1
        reply[n] = verdict.granted
      end
      if isReady then
        for i = 1, count do
          local seat = seats[i]
          reply[n + 1], reply[n + 2] = seat.room, seat.reset
          n = n + 2
          if says then
            reply[n + 1], reply[n + 2] = seat.standing, seat.wait
            n = n + 2
          end
        end
      end
    end
    first = first + stride
  end
end

-- KEEPTTL where the expiry did not move: it costs half of PXAT.
for at = 1, #KEYS do
  local kernel, key, s = changed[at], KEYS[at], states[at]
  if kernel then
    if needs[at] == 0 or s.stale then call('DEL', key) end
    if needs[at] > 0 then
      local ttl = injected and max(INJECTED_CLOCK_MIN_TTL_MS, s.expiry - floor(raw / 1000))
      if kernel.save then
        kernel.save(s)
        if s.moved and injected then
          call('PEXPIRE', key, ttl)
        elseif s.moved then
          call('PEXPIREAT', key, s.expiry)
        end
      elseif not s.moved then
        call('SET', key, kernel.pack(s), 'KEEPTTL')
      elseif injected then
        call('SET', key, kernel.pack(s), 'PX', ttl)
      else
        call('SET', key, kernel.pack(s), 'PXAT', s.expiry)
      end
    end
  end
end
return reply

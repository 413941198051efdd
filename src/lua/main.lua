-- Decides a batch of calls, one after another, on one reading of the clock.
--
-- KEYS  the seats' keys in the order of the calls; a refund's last key marks that it was done.
-- ARGV  now in µs, or '' for the server's own clock
--       the number of policies, then each one's tag and numbers
--       then each call: verb, µs of a block, number of seats, and for each seat its policy and cost
-- Reply the raw clock, then for each call: readiness, time of the decision, granted,
--       and, where it is ready, for each seat: standing, room, wait, reset
local REFUND_REMEMBERED_MS = 60000
-- Under a clock of the tests the real one must not evict a key before its time.
local INJECTED_CLOCK_MIN_TTL_MS = 3600000

local cursor = 0
local function read()
  cursor = cursor + 1
  return tonumber(ARGV[cursor])
end

local raw = read()
local injected = raw ~= nil
if not injected then
  local time = call('TIME')
  raw = time[1] * 1000000 + time[2]
end

local policies = {}
for i = 1, read() do
  cursor = cursor + 1
  local kernel = kernels[ARGV[cursor]]
  policies[i] = { kernel = kernel, params = kernel.params(read) }
end

-- The state under a key: read once a batch, and the same table for every call on it.
local states, changed, order = {}, {}, {}
local function load(kernel, key)
  local state = states[key]
  if state then return state end
  local err
  if kernel.load then
    state, err = kernel.load(key)
  else
    local value = pcallRedis('GET', key)
    if type(value) == 'table' then
      err = wrongType(value)
    elseif value then
      state = kernel.unpack(value)
      if not state then err = WRONG_FORMAT end
    else
      state = kernel.fresh(key)
    end
  end
  if state then states[key] = state end
  return state, err
end

-- KEEPTTL where the expiry did not move: it costs half of PXAT.
local function save(seat)
  local kernel, key, s = seat.kernel, seat.key, seat.state
  if seat.reset == 0 or s.stale then call('DEL', key) end
  if seat.reset == 0 then return end
  local keep = not s.moved
  local ttl = injected and max(INJECTED_CLOCK_MIN_TTL_MS, s.expiry - floor(raw / 1000))
  if kernel.save then
    kernel.save(s)
    if not keep then
      if injected then call('PEXPIRE', key, ttl) else call('PEXPIREAT', key, s.expiry) end
    end
  elseif keep then
    call('SET', key, kernel.pack(s), 'KEEPTTL')
  elseif injected then
    call('SET', key, kernel.pack(s), 'PX', ttl)
  else
    call('SET', key, kernel.pack(s), 'PXAT', s.expiry)
  end
end

local reply, keyAt = { raw }, 0
local function answer(verdict, seats)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = verdict.readiness, verdict.now, verdict.granted
  if verdict.readiness ~= READY then return end
  n = n + 3
  for i = 1, #seats do
    local seat = seats[i]
    reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = seat.standing, seat.room, seat.wait, seat.reset
    n = n + 4
  end
end

while cursor < #ARGV do
  local verb, extra, count = read(), read(), read()
  local seats, failure = {}, nil
  for i = 1, count do
    keyAt = keyAt + 1
    local policy, key = policies[read()], KEYS[keyAt]
    local state, err = load(policy.kernel, key)
    failure = failure or err
    seats[i] = {
      kernel = policy.kernel, params = policy.params, key = key, state = state, cost = read(),
      standing = OK, room = 0, wait = 0, reset = 0,
    }
  end
  if verb == REFUND then
    keyAt = keyAt + 1
    -- A client that lost the connection may send the same call again: it gives back once.
    if not failure and not call('SET', KEYS[keyAt], '', 'NX', 'PX', REFUND_REMEMBERED_MS) then
      for _, seat in ipairs(seats) do seat.cost = 0 end
    end
  end
  if failure then
    answer({ readiness = failure, now = raw, granted = 0 }, seats)
  else
    local verdict = decide(verb, seats, raw, extra)
    if verdict.changed then
      for i = 1, #seats do
        local seat = seats[i]
        states[seat.key] = seat.state
        if not changed[seat.key] then order[#order + 1] = seat.key end
        changed[seat.key] = seat
      end
    end
    answer(verdict, seats)
  end
end
for i = 1, #order do save(changed[order[i]]) end
return reply

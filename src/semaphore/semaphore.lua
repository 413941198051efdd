-- One command on one semaphore, on one reading of the clock. The twin of kernel.ts.
--
-- KEYS  1 a hash: the state's numbers under '#', and each member (weight, fence, channel) under its id
--       2 holders by the end of their lease, 3 waiters by their ticket, 4 waiters by the end of their lease
-- ARGV  now in µs, or '' for the server's own clock; verb; limit; lease, claim and wait in µs; channel;
--       then two for each entry: id, and weight or fence
-- Reply format error, or 0; now; µs until a lease may end; limit; held; waiting; then three for each entry:
--       outcome, number, end of the lease
--
-- Every step takes O(log n) of the members, whatever their number.
local call, floor, ceil, max = redis.call, math.floor, math.ceil, math.max
local ACQUIRE, TRY_ACQUIRE, RENEW, RELEASE, SET_LIMIT = 1, 2, 3, 4, 5
local GONE, WAITING, HELD, BUSY, TOO_HEAVY, RELEASED = 0, 1, 2, 3, 4, 5
local WRONG_TYPE, WRONG_FORMAT = 3, 4
local FORMAT = '1'
local MOST_CHANGES = 100
local KEPT_US, LIMIT_KEPT_US, SLACK_US = 86400000000, 31622400000000, 3600000000
local INJECTED_CLOCK_MIN_TTL_MS = 3600000

local members, holders, queue, waits = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local injected = ARGV[1] ~= ''
local now
if injected then
  now = ARGV[1] + 0
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
local verb, limit = ARGV[2] + 0, ARGV[3] + 0
local lease, claim, wait, channel = ARGV[4] + 0, ARGV[5] + 0, ARGV[6] + 0, ARGV[7]

-- Types are checked before the first write: an error in the middle would keep what was written.
local stored = redis.pcall('HGET', members, '#')
if type(stored) == 'table' then
  if not stored.err:find('WRONGTYPE', 1, true) then error(stored.err, 0) end
  return { WRONG_TYPE }
end
local state = { limit = 0, counter = 0, held = 0, expiry = 0 }
-- How many are in each sorted set, which saves asking; and the first of each, once it was asked for.
local size = { [holders] = 0, [queue] = 0, [waits] = 0 }
local firstId, firstScore = {}, {}
if stored then
  local format, storedLimit, counter, held, expiry, holding, waiting =
    stored:match('^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if format ~= FORMAT then return { WRONG_FORMAT } end
  state.limit, state.counter, state.held, state.expiry = storedLimit + 0, counter + 0, held + 0, expiry + 0
  size[holders], size[queue], size[waits] = holding + 0, waiting + 0, waiting + 0
end

-- Sorted sets that this call made: they have no expiry yet.
local made = {}

local function set(key, id, score)
  if call('ZADD', key, score, id) == 1 then
    if size[key] == 0 then made[#made + 1] = key end
    size[key] = size[key] + 1
    if firstId[key] and score <= firstScore[key] then firstId[key] = nil end
  else
    firstId[key] = nil
  end
end

local function delete(key, id)
  size[key] = size[key] - call('ZREM', key, id)
  if firstId[key] == id then firstId[key] = nil end
end

local function first(key)
  if size[key] > 0 and not firstId[key] then
    local entry = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    firstId[key], firstScore[key] = entry[1], entry[2]
    if entry[1] then firstScore[key] = entry[2] + 0 end
  end
  return firstId[key], firstScore[key]
end

-- Where Redis evicted one of the keys, the others are of no use: nobody holds and nobody waits.
local whole = stored
for key, count in pairs(size) do
  if count > 0 and not first(key) then whole = false end
end
if not whole then
  call('DEL', unpack(KEYS))
  for key in pairs(size) do size[key], firstId[key] = 0, nil end
  stored, state.held, state.expiry = false, 0, 0
end

-- From then on Redis may have forgotten it.
if state.expiry > 0 and state.expiry * 1000 <= now then state.limit = 0 end

local function get(id)
  local text = call('HGET', members, id)
  if text then
    local weight, fence, to = text:match('^(%d+) (%d+) (.*)$')
    return { weight = weight + 0, fence = fence + 0, channel = to }
  end
end

local function put(id, weight, fence, to)
  call('HSET', members, id, string.format('%.0f %.0f %s', weight, fence, to))
end

-- Only a hint: where nobody may publish, waiters ask. A Cluster's channels carry their key's tag.
local function wake(to, id, fence, untilUs)
  local command = to:find('{', 1, true) and 'SPUBLISH' or 'PUBLISH'
  redis.pcall(command, to, string.format('%s %.0f %.0f', id, fence, untilUs))
end

local changes = 0

local function drop(id, member)
  if member.fence > 0 then
    delete(holders, id)
    state.held = state.held - member.weight
  else
    delete(queue, id)
    delete(waits, id)
  end
  call('HDEL', members, id)
end

local function dropExpired(key)
  local id, score = first(key)
  while id do
    if score > now or changes >= MOST_CHANGES then break end
    drop(id, get(id))
    changes = changes + 1
    id, score = first(key)
  end
end

local function nextNumber()
  state.counter = max(state.counter + 1, now)
  return state.counter
end

local function hold(id, weight, untilUs)
  local fence = nextNumber()
  put(id, weight, fence, '')
  set(holders, id, untilUs)
  state.held = state.held + weight
  return fence
end

dropExpired(holders)
dropExpired(waits)

local answers, n = {}, 0
local function answer(outcome, number, untilUs)
  answers[n + 1], answers[n + 2], answers[n + 3] = outcome, number, untilUs
  n = n + 3
end

if verb == SET_LIMIT then state.limit = limit end
if state.limit > 0 then limit = state.limit end

if verb == RELEASE then
  for i = 8, #ARGV, 2 do
    local id, fence = ARGV[i], ARGV[i + 1] + 0
    local member = get(id)
    if member and (fence == 0 or member.fence == fence) then
      drop(id, member)
      answer(RELEASED, 0, 0)
    else answer(GONE, 0, 0) end
  end
end

-- What is free goes to the head of the line, and to nobody behind it as long as it does not fit. Only a new
-- limit makes it worth looking where nothing is free.
while changes < MOST_CHANGES and (state.held < limit or verb == SET_LIMIT) do
  local id = first(queue)
  if not id then break end
  local member = get(id)
  local fence, untilUs = 0, now + claim
  if member.weight > limit then drop(id, member)
  elseif state.held + member.weight <= limit then
    delete(queue, id)
    delete(waits, id)
    fence = hold(id, member.weight, untilUs)
  else break end
  if member.channel ~= '' then wake(member.channel, id, fence, untilUs) end
  changes = changes + 1
end

if verb == ACQUIRE or verb == TRY_ACQUIRE then
  for i = 8, #ARGV, 2 do
    local id, weight = ARGV[i], ARGV[i + 1] + 0
    local member = get(id)
    if member and member.fence > 0 then
      set(holders, id, now + lease)
      answer(HELD, member.fence, now + lease)
    elseif weight > limit then
      if member then drop(id, member) end
      answer(TOO_HEAVY, limit, 0)
    elseif member then
      set(waits, id, now + wait)
      answer(WAITING, call('ZSCORE', queue, id) + 0, 0)
    elseif size[queue] == 0 and state.held + weight <= limit then
      local fence = hold(id, weight, now + lease)
      answer(HELD, fence, now + lease)
    elseif verb == TRY_ACQUIRE then
      answer(BUSY, 0, 0)
    else
      local ticket = nextNumber()
      put(id, weight, 0, channel)
      set(queue, id, ticket)
      set(waits, id, now + wait)
      answer(WAITING, ticket, 0)
    end
  end
end

if verb == RENEW then
  for i = 8, #ARGV, 2 do
    local id, fence = ARGV[i], ARGV[i + 1] + 0
    local member = get(id)
    if not member or (fence > 0 and member.fence ~= fence) then
      answer(GONE, 0, 0)
    elseif member.fence > 0 then
      set(holders, id, now + lease)
      answer(HELD, member.fence, now + lease)
    elseif member.weight > limit then
      drop(id, member)
      answer(TOO_HEAVY, limit, 0)
    else
      set(waits, id, now + wait)
      answer(WAITING, call('ZSCORE', queue, id) + 0, 0)
    end
  end
end

-- Where nothing was ever stored there is nothing to keep.
if state.counter > 0 or state.limit > 0 then
  local kept = state.limit > 0 and LIMIT_KEPT_US or KEPT_US
  local needed = now + max(lease, wait) + kept
  local moved = state.expiry * 1000 < needed
  if moved then state.expiry = ceil((needed + SLACK_US) / 1000) end

  local text = string.format('%s %.0f %.0f %.0f %.0f %.0f %.0f',
    FORMAT, state.limit, state.counter, state.held, state.expiry, size[holders], size[queue])
  if text ~= stored then call('HSET', members, '#', text) end
  for _, key in ipairs(moved and KEYS or made) do
    if injected then
      call('PEXPIRE', key, max(INJECTED_CLOCK_MIN_TTL_MS, state.expiry - floor(now / 1000)))
    else
      call('PEXPIREAT', key, state.expiry)
    end
  end
end

local id, soonest = first(holders)
local nextUs = -1
if changes >= MOST_CHANGES then nextUs = 0
elseif id then nextUs = soonest - now end
local reply = { 0, now, nextUs, limit, state.held, size[queue] }
for i = 1, n do reply[6 + i] = answers[i] end
return reply

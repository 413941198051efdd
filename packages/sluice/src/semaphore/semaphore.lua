-- One command on one semaphore, on one reading of the clock. The twin of kernel.ts.
--
-- KEYS  1 a sorted set with all of it, so that a Cluster always finds it in one place. At -inf is the state, '#' and
--       its numbers. What is known of a member is 'd' (weight, id, channel), which lies with 't' and the id at its
--       ticket or fence; 'e' and the id is at the end of its lease. Each kind of number has a band of its own.
-- ARGV  now in µs, or '' for the server's own clock; verb; limit; lease, claim and wait in µs; channel;
--       then two for each entry: id, and weight or fence
-- Reply format error, or 0; now; µs until a lease may end; limit; held; waiting; then three for each entry:
--       outcome, number, end of the lease
--
-- Every step takes O(log n) of the members, whatever their number.
local call, ceil, max, floor = redis.call, math.ceil, math.max, math.floor
local ACQUIRE, TRY_ACQUIRE, RENEW, RELEASE, SET_LIMIT = 1, 2, 3, 4, 5
local GONE, WAITING, HELD, BUSY, TOO_HEAVY, RELEASED = 0, 1, 2, 3, 4, 5
local WRONG_TYPE, WRONG_FORMAT = 3, 4
local FORMAT = '1'
local MOST_CHANGES = 100
local KEPT_US, LIMIT_KEPT_US, SLACK_US = 86400000000, 31622400000000, 3600000000
local INJECTED_CLOCK_MIN_TTL_MS = 3600000
-- Scores are exact from -2^53 to 2^53: four bands of 2^52 µs each, which time fills in the year 2112.
local BAND = 4503599627370496
local QUEUE, WAITS, HOLDERS, FENCES = -2 * BAND, -BAND, 0, BAND
-- The first and the last score of a band, as text: a number takes longer to hand over.
local FROM = { [QUEUE] = '-9007199254740992', [WAITS] = '-4503599627370496', [HOLDERS] = '0' }
local TO = { [QUEUE] = '(-4503599627370496', [WAITS] = '(0', [HOLDERS] = '(4503599627370496' }

local key = KEYS[1]

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

-- The type is checked before the first write: an error in the middle would keep what was written.
local lowest = redis.pcall('ZRANGE', key, '0', '0')
if lowest.err then
  if not lowest.err:find('WRONGTYPE', 1, true) then error(lowest.err, 0) end
  return { WRONG_TYPE }
end
local stored = lowest[1]
local state = { limit = 0, counter = 0, held = 0, expiry = 0 }
-- How many holders and waiters there are, which saves asking.
local holding, waiting = 0, 0
if stored then
  local format, storedLimit, counter, held, expiry, holders, waiters =
    stored:match('^#(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if format ~= FORMAT then return { WRONG_FORMAT } end
  state.limit, state.counter, state.held, state.expiry = storedLimit + 0, counter + 0, held + 0, expiry + 0
  holding, waiting = holders + 0, waiters + 0
end

-- From then on Redis may have forgotten it.
if state.expiry > 0 and state.expiry * 1000 <= now then state.limit = 0 end

-- The first of each band, once it was asked for.
local firstText, firstScore = {}, {}

local function first(band)
  local count = waiting
  if band == HOLDERS then count = holding end
  if count > 0 and not firstText[band] then
    local entry = call('ZRANGE', key, FROM[band], TO[band], 'BYSCORE', 'LIMIT', '0', '1', 'WITHSCORES')
    if entry[1] then firstText[band], firstScore[band] = entry[1], entry[2] - band end
  end
  return firstText[band], firstScore[band]
end

local function parse(text, fence, ticket)
  local weight, id, to = text:match('^d(%d+) (%S+) (.*)$')
  return { text = text, id = id, weight = weight + 0, channel = to, fence = fence, ticket = ticket }
end

local function memberAt(score)
  local at = string.format('%.0f', score)
  local text = call('ZRANGE', key, at, at, 'BYSCORE', 'LIMIT', '0', '1')[1]
  if not text then return nil end
  if score >= FENCES then return parse(text, score - FENCES, 0) end
  return parse(text, 0, score - QUEUE)
end

local function get(id)
  local score = call('ZSCORE', key, 't' .. id)
  if score then return memberAt(score + 0) end
end

-- Where the caller names a fence there is no need to look for it.
local function getBy(id, fence)
  if fence == 0 then return get(id) end
  local member = memberAt(FENCES + fence)
  if member and member.id == id then return member end
end

-- A member at its ticket or fence, and the end of its lease, whether or not it was there.
local function put(id, weight, to, score, band, untilUs)
  local at = string.format('%.0f', score)
  local text = string.format('d%.0f %s %s', weight, id, to)
  call('ZADD', key, at, 't' .. id, at, text, band + untilUs, 'e' .. id)
  if firstText[band] and untilUs <= firstScore[band] then firstText[band] = nil end
end

local function extend(band, id, untilUs)
  call('ZADD', key, band + untilUs, 'e' .. id)
  if firstText[band] and (firstText[band] == 'e' .. id or untilUs <= firstScore[band]) then firstText[band] = nil end
end

-- Only a hint: where nobody may publish, waiters ask. A Cluster's channels carry their key's tag.
local function wake(to, id, fence, untilUs)
  local command = to:find('{', 1, true) and 'SPUBLISH' or 'PUBLISH'
  redis.pcall(command, to, string.format('%s %.0f %.0f', id, fence, untilUs))
end

local changes = 0

local function leaveLine(member)
  waiting = waiting - 1
  if firstText[WAITS] == 'e' .. member.id then firstText[WAITS] = nil end
  if firstText[QUEUE] == member.text then firstText[QUEUE] = nil end
end

local function drop(member)
  local id = member.id
  call('ZREM', key, member.text, 't' .. id, 'e' .. id)
  if member.fence > 0 then
    holding = holding - 1
    state.held = state.held - member.weight
    if firstText[HOLDERS] == 'e' .. id then firstText[HOLDERS] = nil end
  else leaveLine(member) end
end

local function dropExpired(band)
  local text, score = first(band)
  while text do
    if score > now or changes >= MOST_CHANGES then break end
    drop(get(text:sub(2)))
    changes = changes + 1
    text, score = first(band)
  end
end

local function nextNumber()
  state.counter = max(state.counter + 1, now)
  return state.counter
end

local function hold(id, weight, untilUs)
  local fence = nextNumber()
  put(id, weight, '', FENCES + fence, HOLDERS, untilUs)
  holding = holding + 1
  state.held = state.held + weight
  return fence
end

dropExpired(HOLDERS)
dropExpired(WAITS)

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
    local member = getBy(id, fence)
    if member then
      drop(member)
      answer(RELEASED, 0, 0)
    else answer(GONE, 0, 0) end
  end
end

-- What is free goes to the head of the line, and to nobody behind it as long as it does not fit. Only a new
-- limit makes it worth looking where nothing is free.
while changes < MOST_CHANGES and (state.held < limit or verb == SET_LIMIT) do
  local text, ticket = first(QUEUE)
  if not text then break end
  local member = parse(text, 0, ticket)
  local fence, untilUs = 0, now + claim
  if member.weight > limit then drop(member)
  elseif state.held + member.weight <= limit then
    leaveLine(member)
    call('ZREM', key, text)
    fence = hold(member.id, member.weight, untilUs)
  else break end
  if member.channel ~= '' then wake(member.channel, member.id, fence, untilUs) end
  changes = changes + 1
end

if verb == ACQUIRE or verb == TRY_ACQUIRE then
  for i = 8, #ARGV, 2 do
    local id, weight = ARGV[i], ARGV[i + 1] + 0
    local member = get(id)
    if member and member.fence > 0 then
      extend(HOLDERS, id, now + lease)
      answer(HELD, member.fence, now + lease)
    elseif weight > limit then
      if member then drop(member) end
      answer(TOO_HEAVY, limit, 0)
    elseif member then
      extend(WAITS, id, now + wait)
      answer(WAITING, member.ticket, 0)
    elseif waiting == 0 and state.held + weight <= limit then
      local fence = hold(id, weight, now + lease)
      answer(HELD, fence, now + lease)
    elseif verb == TRY_ACQUIRE then
      answer(BUSY, 0, 0)
    else
      local ticket = nextNumber()
      put(id, weight, channel, QUEUE + ticket, WAITS, now + wait)
      waiting = waiting + 1
      answer(WAITING, ticket, 0)
    end
  end
end

if verb == RENEW then
  for i = 8, #ARGV, 2 do
    local id, fence = ARGV[i], ARGV[i + 1] + 0
    local member = getBy(id, fence)
    if not member then
      answer(GONE, 0, 0)
    elseif member.fence > 0 then
      extend(HOLDERS, id, now + lease)
      answer(HELD, member.fence, now + lease)
    elseif member.weight > limit then
      drop(member)
      answer(TOO_HEAVY, limit, 0)
    else
      extend(WAITS, id, now + wait)
      answer(WAITING, member.ticket, 0)
    end
  end
end

-- Where nothing was ever stored there is nothing to keep.
if state.counter > 0 or state.limit > 0 then
  local kept = state.limit > 0 and LIMIT_KEPT_US or KEPT_US
  local needed = now + max(lease, wait) + kept
  local moved = state.expiry * 1000 < needed
  if moved then state.expiry = ceil((needed + SLACK_US) / 1000) end

  local text = string.format('#%s %.0f %.0f %.0f %.0f %.0f %.0f',
    FORMAT, state.limit, state.counter, state.held, state.expiry, holding, waiting)
  if text ~= stored then
    -- First the new one: a set without members would be gone, and its expiry with it.
    call('ZADD', key, '-inf', text)
    if stored then call('ZREM', key, stored) end
  end
  if moved and injected then
    call('PEXPIRE', key, max(INJECTED_CLOCK_MIN_TTL_MS, state.expiry - floor(now / 1000)))
  elseif moved then
    call('PEXPIREAT', key, state.expiry)
  end
end

local last, soonest = first(HOLDERS)
local nextUs = -1
if changes >= MOST_CHANGES then nextUs = 0
elseif last then nextUs = soonest - now end
local reply = { 0, now, nextUs, limit, state.held, waiting }
for i = 1, n do reply[6 + i] = answers[i] end
return reply

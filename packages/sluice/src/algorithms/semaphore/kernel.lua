-- The semaphore's decision: who holds, who waits, who is next. Twin of kernel.ts: the same names in the same order.
-- A part of stores/redis/scripts/semaphore.lua, which has read what is given.
--
-- Given   key, now, verb, limit, lease, claim, wait, channel    as in the head of the script
--         stored, state       what was stored, as text and as numbers
--         holding, waiting    how many hold and wait, which saves asking
--         from, to            where its entries stand in ARGV
--         reply, size         the reply to all commands, and its length
--
-- Value   see format.lua. Every step takes O(log n) of the members, whatever their number.
--
-- @const SEMAPHORE_VERBS, OUTCOME, MOST_CHANGES, KEPT_US, LIMIT_KEPT_US, SLACK_US from algorithms/semaphore/kernel.ts
-- @const FORMAT, STATE, MEMBER, MEMBER_PATTERN from algorithms/semaphore/format.lua
local max = math.max
-- Scores are exact from -2^53 to 2^53: four bands of 2^52 µs each, which time fills in the year 2112.
local BAND = 4503599627370496
local QUEUE, WAITS, HOLDERS, FENCES = -2 * BAND, -BAND, 0, BAND
-- The first and the last score of a band, as text: a number takes longer to hand over.
local FROM = { [QUEUE] = '-9007199254740992', [WAITS] = '-4503599627370496', [HOLDERS] = '0' }
local TO = { [QUEUE] = '(-4503599627370496', [WAITS] = '(0', [HOLDERS] = '(4503599627370496' }

-- How many members were dropped or handed a permit so far.
local changes = 0
local answers, n = {}, 0
-- Declared before its first use, because functions are in the twin's order.
local answer

-- The first of each band, once it has been read.
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
  local weight, id, to = text:match(MEMBER_PATTERN)
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

-- If the caller names a fence, it need not be looked up.
local function getBy(id, fence)
  if fence == 0 then return get(id) end
  local member = memberAt(FENCES + fence)
  if member and member.id == id then return member end
end

-- A member at its ticket or fence, and the end of its lease, whether or not it was there.
local function put(id, weight, to, score, band, untilUs)
  local at = string.format('%.0f', score)
  local text = string.format(MEMBER, weight, id, to)
  call('ZADD', key, at, 't' .. id, at, text, band + untilUs, 'e' .. id)
  if firstText[band] and untilUs <= firstScore[band] then firstText[band] = nil end
end

-- Begins the lease of a holder or a waiter again, and answers that it goes on.
local function extend(member)
  local id, isHolder = member.id, member.fence > 0
  local band, untilUs = isHolder and HOLDERS or WAITS, now + (isHolder and lease or wait)
  call('ZADD', key, band + untilUs, 'e' .. id)
  if firstText[band] and (firstText[band] == 'e' .. id or untilUs <= firstScore[band]) then firstText[band] = nil end
  if isHolder then
    answer(OUTCOME.held, member.fence, untilUs)
  else
    answer(OUTCOME.waiting, member.ticket, 0)
  end
end

-- Only a hint: if the client may not publish, waiters ask. A Cluster's channels carry their key's tag.
local function wake(to, id, fence, untilUs)
  local command = to:find('{', 1, true) and 'SPUBLISH' or 'PUBLISH'
  redis.pcall(command, to, string.format('%s %.0f %.0f', id, fence, untilUs))
end

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

function answer(outcome, number, untilUs)
  answers[n + 1], answers[n + 2], answers[n + 3] = outcome, number, untilUs
  n = n + 3
end

-- The rest is executeSemaphore. Functions with one caller are inline, because a script creates its functions each time it
-- runs.

-- From then on Redis may have forgotten it.
if state.expiry > 0 and state.expiry * 1000 <= now then state.limit = 0 end
dropExpired(HOLDERS)
dropExpired(WAITS)
if verb == SEMAPHORE_VERBS.setLimit then state.limit = limit end
if state.limit > 0 then limit = state.limit end

-- releaseEntries
if verb == SEMAPHORE_VERBS.release then
  for i = from, to, 2 do
    local id, fence = ARGV[i], ARGV[i + 1] + 0
    local member = getBy(id, fence)
    if member then
      drop(member)
      answer(OUTCOME.released, 0, 0)
    else answer(OUTCOME.gone, 0, 0) end
  end
end

-- revokeEntries
if verb == SEMAPHORE_VERBS.revoke then
  for i = from, to, 2 do
    local member = memberAt(FENCES + ARGV[i + 1])
    if member then
      drop(member)
      answer(OUTCOME.released, 0, 0)
    else answer(OUTCOME.gone, 0, 0) end
  end
end

-- handOver. What is free goes to the head of the line. While the head does not fit, no waiter behind it gets anything. If
-- nothing is free, only a new limit makes it worth looking.
while changes < MOST_CHANGES and (state.held < limit or verb == SEMAPHORE_VERBS.setLimit) do
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

-- acquireEntries
if verb == SEMAPHORE_VERBS.acquire or verb == SEMAPHORE_VERBS.tryAcquire then
  for i = from, to, 2 do
    local id, weight = ARGV[i], ARGV[i + 1] + 0
    local member = get(id)
    if member and member.fence > 0 then
      extend(member)
    elseif weight > limit then
      if member then drop(member) end
      answer(OUTCOME.tooHeavy, limit, 0)
    elseif member then
      extend(member)
    elseif waiting == 0 and state.held + weight <= limit then
      local fence = hold(id, weight, now + lease)
      answer(OUTCOME.held, fence, now + lease)
    elseif verb == SEMAPHORE_VERBS.tryAcquire then
      answer(OUTCOME.busy, 0, 0)
    else
      local ticket = nextNumber()
      put(id, weight, channel, QUEUE + ticket, WAITS, now + wait)
      waiting = waiting + 1
      answer(OUTCOME.waiting, ticket, 0)
    end
  end
end

-- renewEntries
if verb == SEMAPHORE_VERBS.renew then
  for i = from, to, 2 do
    local id, fence = ARGV[i], ARGV[i + 1] + 0
    local member = getBy(id, fence)
    if not member then
      answer(OUTCOME.gone, 0, 0)
    elseif member.fence > 0 then
      extend(member)
    elseif member.weight > limit then
      drop(member)
      answer(OUTCOME.tooHeavy, limit, 0)
    else
      extend(member)
    end
  end
end

-- listEntries
if (verb == SEMAPHORE_VERBS.holders or verb == SEMAPHORE_VERBS.waiters) and from <= to then
  local holds = verb == SEMAPHORE_VERBS.holders
  local base = holds and FENCES or QUEUE
  local count = (to - from + 1) / 2
  local found = call('ZRANGE', key, string.format('(%.0f', base + ARGV[from + 1]), holds and '+inf' or TO[QUEUE],
    'BYSCORE', 'LIMIT', '0', 2 * count, 'WITHSCORES')
  -- Each has two there: what is known of it, and its id.
  for i = 1, 4 * count, 4 do
    if found[i] then
      local number = found[i + 1] - base
      local member = parse(found[i], holds and number or 0, number)
      local untilUs = holds and call('ZSCORE', key, 'e' .. member.id) - HOLDERS or 0
      answer(member.weight, number, untilUs)
    else answer(0, 0, 0) end
  end
end

-- keepState. If nothing was ever stored, there is nothing to keep.
if state.counter > 0 or state.limit > 0 then
  local kept = state.limit > 0 and LIMIT_KEPT_US or KEPT_US
  local needed = now + max(lease, wait) + kept
  local moved = state.expiry * 1000 < needed
  if moved then state.expiry = ceil((needed + SLACK_US) / 1000) end

  local text = string.format(STATE,
    FORMAT, state.limit, state.counter, state.held, state.expiry, holding, waiting)
  if text ~= stored then
    -- First the new one: a set without members would be gone, and its expiry with it.
    call('ZADD', key, '-inf', text)
    if stored then call('ZREM', key, stored) end
  end
  if moved then call(expireCommand, key, ttlOf and ttlOf(state.expiry) or state.expiry) end
end

-- replyOf
local text, soonest = first(HOLDERS)
local nextUs = -1
if changes >= MOST_CHANGES then nextUs = 0
elseif text then nextUs = soonest - now end
reply[size + 1], reply[size + 2], reply[size + 3], reply[size + 4], reply[size + 5] =
  0, nextUs, limit, state.held, waiting
size = size + 5
for i = 1, n do reply[size + i] = answers[i] end
size = size + n

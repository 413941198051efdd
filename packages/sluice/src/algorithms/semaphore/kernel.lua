-- The semaphore's decision: who holds, who waits, who is next. Twin of kernel.ts: the same names in the same order.
-- A part of stores/redis/scripts/semaphore.lua, which has read what is given.
--
-- Given   key, now, verb, limit, lease, claim, wait, channel    as in the head of the script
--         stored, state       what was stored, as text and as numbers
--         headText    the entry after it: the head of the line, if anybody waits
--         holding, waiting    how many hold and wait, which saves asking
--         from, to            where its entries stand in ARGV
--         reply, size         the reply to all commands, and its length
--
-- Value   see format.lua. Every step takes O(log n) of the members, whatever their number.
--
-- @const SEMAPHORE_VERBS, OUTCOME, MOST_CHANGES, KEPT_US, LIMIT_KEPT_US, SLACK_US from algorithms/semaphore/kernel.ts
-- @const FORMAT, STATE, MEMBER, MEMBER_PATTERN from algorithms/semaphore/format.lua
local max, format = math.max, string.format
-- Scores are exact from -2^53 to 2^53: four bands of 2^52 µs each, which time fills in the year 2112.
local BAND = 4503599627370496
local QUEUE, WAITS, HOLDERS, FENCES = -2 * BAND, -BAND, 0, BAND
-- Where bands begin and end, as text: to hand over a number takes longer, and to read a score takes longest of all.
local QUEUE_FROM, QUEUE_TO, WAITS_FROM = '-9007199254740992', '(-4503599627370496', '-4503599627370496'
local HOLDERS_FROM, HOLDERS_TO = '0', '(4503599627370496'

-- How many members were dropped or handed a permit so far.
local changes = 0
local answers, n = {}, 0
-- Declared before its first use, because functions are in the twin's order.
local answer

-- What is to be put, with its scores, and what is to go. It is written before the next look, and at the end: most commands
-- write once. What is put comes first: a set without members would be gone, and its expiry with it.
local adds, a, removes, r = {}, 0, {}, 0

local function flush()
  if a > 0 then
    call('ZADD', key, unpack(adds, 1, a))
    a = 0
  end
  if r > 0 then
    call('ZREM', key, unpack(removes, 1, r))
    r = 0
  end
end

-- The head of the line, once it is known.
if waiting == 0 then headText = nil end

local function head()
  if waiting > 0 and not headText then
    flush()
    headText = call('ZRANGE', key, QUEUE_FROM, QUEUE_TO, 'BYSCORE', 'LIMIT', '0', '1')[1]
  end
  return headText
end

-- The holder whose lease ends first, and when, once it is known.
local soonText, soonUs

local function soonest()
  if holding > 0 and not soonText then
    flush()
    local found = call('ZRANGE', key, HOLDERS_FROM, HOLDERS_TO, 'BYSCORE', 'LIMIT', '0', '1', 'WITHSCORES')
    if found[1] then soonText, soonUs = found[1], found[2] - HOLDERS end
  end
  return soonText, soonUs
end

-- The end of a lease. `others` hold beside it, if it is a holder's.
local function setLease(text, band, untilUs, others)
  adds[a + 1], adds[a + 2] = format('%.0f', band + untilUs), text
  a = a + 2
  if band ~= HOLDERS then return end
  if others == 0 or soonText and untilUs < soonUs then
    soonText, soonUs = text, untilUs
  elseif soonText == text or untilUs == soonUs then
    -- Another may be the first now. Of two that end together, their texts say which.
    soonText = nil
  end
end

local function parse(text, fence, ticket)
  local weight, id, to = text:match(MEMBER_PATTERN)
  return { text = text, id = id, weight = weight + 0, channel = to, fence = fence, ticket = ticket }
end

local function memberAt(score)
  flush()
  local at = format('%.0f', score)
  local text = call('ZRANGE', key, at, at, 'BYSCORE', 'LIMIT', '0', '1')[1]
  if not text then return nil end
  if score >= FENCES then return parse(text, score - FENCES, 0) end
  return parse(text, 0, score - QUEUE)
end

local function get(id)
  flush()
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
  local at = format('%.0f', score)
  adds[a + 1], adds[a + 2], adds[a + 3], adds[a + 4] = at, 't' .. id, at, format(MEMBER, weight, id, to)
  a = a + 4
  setLease('e' .. id, band, untilUs, holding)
end

-- Begins the lease of a holder or a waiter again, and answers that it goes on.
local function extend(member)
  local id, isHolder = member.id, member.fence > 0
  local band, untilUs = isHolder and HOLDERS or WAITS, now + (isHolder and lease or wait)
  setLease('e' .. id, band, untilUs, holding - 1)
  if isHolder then
    answer(OUTCOME.held, member.fence, untilUs)
  else
    answer(OUTCOME.waiting, member.ticket, 0)
  end
end

local function leaveLine(member)
  waiting = waiting - 1
  if headText == member.text then headText = nil end
end

local function drop(member)
  local id = member.id
  removes[r + 1], removes[r + 2], removes[r + 3] = member.text, 't' .. id, 'e' .. id
  r = r + 3
  if member.fence > 0 then
    holding = holding - 1
    state.held = state.held - member.weight
    if soonText == 'e' .. id then soonText = nil end
  else leaveLine(member) end
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

-- dropExpired
local ending, endsUs = soonest()
while ending and endsUs <= now and changes < MOST_CHANGES do
  drop(get(ending:sub(2)))
  changes = changes + 1
  ending, endsUs = soonest()
end
local waitsTo = format('%.0f', WAITS + now)
while waiting > 0 and changes < MOST_CHANGES do
  flush()
  ending = call('ZRANGE', key, WAITS_FROM, waitsTo, 'BYSCORE', 'LIMIT', '0', '1')[1]
  if not ending then break end
  drop(get(ending:sub(2)))
  changes = changes + 1
end

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
  local text = head()
  if not text then break end
  local member = parse(text, 0, 0)
  local fence, untilUs = 0, now + claim
  if member.weight > limit then drop(member)
  elseif state.held + member.weight <= limit then
    leaveLine(member)
    -- Its text as a holder names no channel.
    if member.channel ~= '' then
      r = r + 1
      removes[r] = text
    end
    fence = hold(member.id, member.weight, untilUs)
  else break end
  -- Only a hint: if the client may not publish, waiters ask. A Cluster's channels carry their key's tag.
  local to = member.channel
  if to ~= '' then
    local command = to:find('{', 1, true) and 'SPUBLISH' or 'PUBLISH'
    redis.pcall(command, to, format('%s %.0f %.0f', member.id, fence, untilUs))
  end
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
  flush()
  local found = call('ZRANGE', key, format('(%.0f', base + ARGV[from + 1]), holds and '+inf' or QUEUE_TO,
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
  local isLater = state.expiry * 1000 < needed
  if isLater then state.expiry = ceil((needed + SLACK_US) / 1000) end

  local text = format(STATE,
    FORMAT, state.limit, state.counter, state.held, state.expiry, holding, waiting)
  if text ~= stored then
    adds[a + 1], adds[a + 2] = '-inf', text
    a = a + 2
    if stored then
      r = r + 1
      removes[r] = stored
    end
  end
  flush()
  if isLater then call(expireCommand, key, ttlOf and ttlOf(state.expiry) or state.expiry) end
end

-- replyOf
ending, endsUs = soonest()
local nextUs = -1
if changes >= MOST_CHANGES then nextUs = 0
elseif ending then nextUs = endsUs - now end
reply[size + 1], reply[size + 2], reply[size + 3], reply[size + 4], reply[size + 5] =
  0, nextUs, limit, state.held, waiting
size = size + 5
for i = 1, n do reply[size + i] = answers[i] end
size = size + n

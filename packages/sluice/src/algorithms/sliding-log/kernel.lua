-- The sliding log: admitted hits with running sums. Twin of kernel.ts, statement by statement.
--
-- ARGV    capacity, window
--
-- Value   see format.lua
--
-- @const META, META_NUMBER, META_BYTES, HIT from algorithms/sliding-log/format.lua
-- @const MAX_HITS, MAX_PRUNED, MAX_LIVE, SUM_MODULUS from algorithms/sliding-log/kernel.ts
-- @const READY, LOG_FULL from algorithms/kernel.ts
-- @const WRONG_TYPE, WRONG_FORMAT from stores/redis/wire.ts

-- Declared before its first use, because functions are in the twin's order.
local prune

-- Time and sum of one hit, read once.
local function hit(s, seq)
  local h = s.hits[seq]
  if not h then
    local at, sum = structUnpack(HIT, call('HGET', s.key, seq))
    h = { at = at, sum = sum }
    s.hits[seq] = h
  end
  return h
end

local function since(s, sum)
  local units = s.total - sum
  return units < 0 and units + SUM_MODULUS or units
end

local function search(s, holds)
  local low, step = s.head, 1
  while low + step <= s.next and not holds(low + step - 1) do
    low = low + step
    step = step * 2
  end
  local high = min(low + step - 1, s.next)
  while low < high do
    local middle = floor((low + high) / 2)
    if holds(middle) then high = middle else low = middle + 1 end
  end
  return low
end

local function advance(s, p, now)
  if p.window > s.window or now >= s.windowUntil then s.window = p.window end
  local left = now - s.window
  local head = search(s, function(seq) return hit(s, seq).at > left end)
  if head > s.head then
    s.live = min(s.live, since(s, hit(s, head - 1).sum))
    s.head = head
  end
end

local function leavesUs(s, p, at)
  local left = at + s.window
  return left <= s.windowUntil and left or max(s.windowUntil, at + p.window)
end

local function available(s, p)
  return p.capacity - s.live
end

local function timeUntil(s, p, amount, now)
  local last = search(s, function(seq) return since(s, hit(s, seq).sum) <= p.capacity - amount end)
  return leavesUs(s, p, hit(s, last).at) - now
end

local function isNewest(s, now)
  return s.next > s.head and hit(s, s.next - 1).at == now
end

local function ready(s, p, now)
  return (s.next - s.head < MAX_HITS or isNewest(s, now)) and READY or LOG_FULL
end

local function take(s, p, amount, now)
  local taken = min(amount, MAX_LIVE - s.live)
  s.live = s.live + taken
  s.total = (s.total + taken) % SUM_MODULUS
  local seq = isNewest(s, now) and s.next - 1 or s.next
  s.hits[seq] = { at = now, sum = s.total }
  s.written[seq] = true
  s.next = seq + 1
  if p.window >= s.window then s.windowUntil = now + p.window end
  prune(s)
end

function prune(s)
  local to = min(s.head, s.first + MAX_PRUNED)
  for dead = s.first, to - 1 do
    s.dropped = s.dropped or {}
    s.dropped[#s.dropped + 1] = dead
    s.written[dead] = nil
  end
  s.first = to
end

local function giveBack(s, p, amount)
  s.live = max(0, s.live - amount)
end

local function timeToFull(s, p, now)
  if s.live == 0 then return 0 end
  return leavesUs(s, p, hit(s, s.next - 1).at) - now
end

local function fresh(key)
  return {
    key = key, hits = {}, written = {}, first = 0, head = 0, next = 0, live = 0, total = 0,
    window = 0, windowUntil = 0, last = 0, blockedUntil = 0, expiry = 0, moved = false, stale = false,
  }
end

kernels.l = {
  fresh = fresh,

  -- What is stored must go before anything new is.
  clear = function(s)
    s.hits, s.written, s.dropped, s.stale = {}, {}, nil, true
    s.first, s.head, s.next, s.live, s.total, s.window, s.windowUntil = 0, 0, 0, 0, 0, 0, 0
    s.last, s.blockedUntil, s.expiry = 0, 0, 0
  end,

  advance = advance,
  available = available,
  timeUntil = timeUntil,
  ready = ready,
  take = take,
  giveBack = giveBack,
  timeToFull = timeToFull,

  params = function(at)
    return { capacity = ARGV[at + 1] + 0, window = ARGV[at + 2] + 0 }
  end,

  -- The state of a key; nil and why not, if another version wrote it or it is not a hash.
  load = function(key)
    local value = redis.pcall('HGET', key, 'm')
    if type(value) == 'table' then return nil, wrongType(value) end
    local s = fresh(key)
    if not value then
      if call('EXISTS', key) == 1 then return nil, WRONG_TYPE end
      return s
    end
    if byte(value, 1) ~= META_NUMBER or #value ~= META_BYTES then return nil, WRONG_FORMAT end
    local _
    _, s.first, s.head, s.next, s.live, s.total, s.window, s.windowUntil, s.last, s.blockedUntil, s.expiry =
      structUnpack(META, value)
    s.head = s.first + s.head
    s.next = s.head + s.next
    return s
  end,

  save = function(s)
    if s.stale then call('DEL', s.key) end
    local fields = {
      'm', structPack(META, META_NUMBER, s.first, s.head - s.first, s.next - s.head, s.live, s.total, s.window,
        s.windowUntil, s.last, s.blockedUntil, s.expiry),
    }
    for seq in pairs(s.written) do
      local h = s.hits[seq]
      fields[#fields + 1] = seq
      fields[#fields + 1] = structPack(HIT, h.at, h.sum)
    end
    call('HSET', s.key, unpack(fields))
    -- A batch may drop more than Lua can unpack at once.
    local dropped = s.dropped or {}
    for i = 1, #dropped, MAX_PRUNED do
      call('HDEL', s.key, unpack(dropped, i, min(i + MAX_PRUNED - 1, #dropped)))
    end
    s.written, s.dropped, s.stale = {}, nil, false
  end,
}

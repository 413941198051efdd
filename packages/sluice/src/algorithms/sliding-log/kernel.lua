-- The sliding log: admitted hits with running sums, in a hash. Twin of kernel.ts.
-- Field "m": byte 1 the format (1); first I6, head - first I4, next - head I4, live I6, total I7,
--   window I6, until I7, last I7, blocked I7, expiry (ms) I6. Field "<seq>": time I7, running sum I7.
local MAX_HITS, MAX_PRUNED, MAX_LIVE, SUM_MODULUS = 10000, 100, 1099511627776, 4503599627370496
-- 61 bytes: a value of more than 64 would cost Redis the compact form of small hashes.
local META, META_BYTES = '<BI6I4I4I6I7I6I7I7I7I6', 61

-- Time and sum of one hit, read once.
local function hit(s, seq)
  local h = s.hits[seq]
  if not h then
    local at, sum = structUnpack('<I7I7', call('HGET', s.key, seq))
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

local function leavesAt(s, p, at)
  local left = at + s.window
  return left <= s.windowUntil and left or max(s.windowUntil, at + p.window)
end

local function isNewest(s, now)
  return s.next > s.head and hit(s, s.next - 1).at == now
end

kernels.l = {
  params = function(at)
    return { capacity = ARGV[at + 1] + 0, window = ARGV[at + 2] + 0 }
  end,

  fresh = function(key)
    return {
      key = key, hits = {}, written = {}, first = 0, head = 0, next = 0, live = 0, total = 0,
      window = 0, windowUntil = 0, last = 0, blocked = 0, expiry = 0, moved = false, stale = false,
    }
  end,

  -- What is stored must go before anything new is.
  clear = function(s)
    s.hits, s.written, s.dropped, s.stale = {}, {}, nil, true
    s.first, s.head, s.next, s.live, s.total, s.window, s.windowUntil = 0, 0, 0, 0, 0, 0, 0
    s.last, s.blocked, s.expiry = 0, 0, 0
  end,

  -- The state of a key, nil where another version wrote it, or an error where it is not a hash.
  load = function(key)
    local value = redis.pcall('HGET', key, 'm')
    if type(value) == 'table' then return nil, wrongType(value) end
    local s = kernels.l.fresh(key)
    if not value then
      if call('EXISTS', key) == 1 then return nil, WRONG_TYPE end
      return s
    end
    if byte(value, 1) ~= 1 or #value ~= META_BYTES then return nil, WRONG_FORMAT end
    local _
    _, s.first, s.head, s.next, s.live, s.total, s.window, s.windowUntil, s.last, s.blocked, s.expiry =
      structUnpack(META, value)
    s.head = s.first + s.head
    s.next = s.head + s.next
    return s
  end,

  save = function(s)
    if s.stale then call('DEL', s.key) end
    local fields = {
      'm', structPack(META, 1, s.first, s.head - s.first, s.next - s.head, s.live, s.total, s.window,
        s.windowUntil, s.last, s.blocked, s.expiry),
    }
    for seq in pairs(s.written) do
      local h = s.hits[seq]
      fields[#fields + 1] = seq
      fields[#fields + 1] = structPack('<I7I7', h.at, h.sum)
    end
    call('HSET', s.key, unpack(fields))
    -- A batch may drop more than Lua can unpack at once.
    local dropped = s.dropped or {}
    for i = 1, #dropped, MAX_PRUNED do
      call('HDEL', s.key, unpack(dropped, i, min(i + MAX_PRUNED - 1, #dropped)))
    end
    s.written, s.dropped, s.stale = {}, nil, false
  end,

  advance = function(s, p, now)
    if p.window > s.window or now >= s.windowUntil then s.window = p.window end
    local left = now - s.window
    local head = search(s, function(seq) return hit(s, seq).at > left end)
    if head > s.head then
      s.live = min(s.live, since(s, hit(s, head - 1).sum))
      s.head = head
    end
  end,

  available = function(s, p)
    return p.capacity - s.live
  end,

  timeUntil = function(s, p, amount, now)
    local last = search(s, function(seq) return since(s, hit(s, seq).sum) <= p.capacity - amount end)
    return leavesAt(s, p, hit(s, last).at) - now
  end,

  ready = function(s, p, now)
    return (s.next - s.head < MAX_HITS or isNewest(s, now)) and READY or LOG_FULL
  end,

  take = function(s, p, amount, now)
    local taken = min(amount, MAX_LIVE - s.live)
    s.live = s.live + taken
    s.total = (s.total + taken) % SUM_MODULUS
    local seq = isNewest(s, now) and s.next - 1 or s.next
    s.hits[seq] = { at = now, sum = s.total }
    s.written[seq] = true
    s.next = seq + 1
    if p.window >= s.window then s.windowUntil = now + p.window end
    local to = min(s.head, s.first + MAX_PRUNED)
    for dead = s.first, to - 1 do
      s.dropped = s.dropped or {}
      s.dropped[#s.dropped + 1] = dead
      s.written[dead] = nil
    end
    s.first = to
  end,

  giveBack = function(s, p, amount)
    s.live = max(0, s.live - amount)
  end,

  timeToFull = function(s, p, now)
    if s.live == 0 then return 0 end
    return leavesAt(s, p, hit(s, s.next - 1).at) - now
  end,
}

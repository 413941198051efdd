-- Batches of nothing but consumes on one seat each, whose state is one value: nearly all there are. The usual of
-- these are decided by the lean twin of their kernel. The others are by consumeInFull, whose functions a script
-- that does not need them should not make: it makes its functions anew each time it runs.

-- Writes what a lean twin returned; false if the key holds something of another type.
local function save(at, value, expiry)
  local key = KEYS[at]
  if values[at] then
    call('SETRANGE', key, '0', value)
    if expiry then expire(key, expiry) end
  elseif not call('SET', key, value, 'NX', ttlOption, ttlOf(expiry)) then
    return false
  end
  values[at] = value
  return true
end

local inFull
-- Where in the reply the calls that stand well are counted; 0 = they are to be counted anew.
local plain = 0

while cursor < #ARGV do
  local extra, at, stride = ARGV[cursor + 2] + 0, ARGV[cursor + 3] + 0, ARGV[cursor + 4] + 0
  local calls, index, cost = ARGV[cursor + 5] + 0, ARGV[cursor + 7] + 0, ARGV[cursor + 8] + 0
  cursor = cursor + 8
  local policy = policies[index]
  if policy.lean == nil then policy.lean = lean[policy.tag] and lean[policy.tag](policy.at) or false end
  local isLean = policy.lean
  -- Without a stride all calls are on one key.
  local runs, length = calls, 1
  if stride == 0 then runs, length = 1, calls end
  for _ = 1, runs do
    local value, room, remainder, reset, expiry
    if isLean then value, room, remainder, reset, expiry = isLean(values[at], cost, length) end
    if not value or not save(at, value, expiry) then
      if not inFull then inFull = consumeInFull() end
      inFull(index, cost, extra, at, length)
      plain = 0
    elseif length > 1 then
      reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = RUN, length, room, remainder
      n = n + 4
      plain = 0
    else
      if plain == 0 then
        n = n + 1
        plain = n
        reply[n] = 0
      end
      reply[plain] = reply[plain] + PLAIN
      reply[n + 1], reply[n + 2] = room, reset
      n = n + 2
    end
    at = at + stride
  end
end
return reply

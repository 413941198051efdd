-- Batches of nothing but consumes on one debit each, whose state is one value: nearly all there are. The usual of
-- these are decided by the fast path of their kernel. The others are by consumeGeneral, whose functions a script
-- that does not need them should not make: it makes its functions anew each time it runs.

local general
-- Where in the reply the calls that stand well are counted; 0 = they are to be counted anew.
local plain = 0

while cursor < #ARGV do
  local blockFor, at, stride = ARGV[cursor + 1] + 0, ARGV[cursor + 2] + 0, ARGV[cursor + 3] + 0
  local calls, index, cost = ARGV[cursor + 4] + 0, ARGV[cursor + 5] + 0, ARGV[cursor + 6] + 0
  cursor = cursor + 6
  local policy = policies[index]
  if policy.fast == nil then policy.fast = fast[policy.tag] and fast[policy.tag](policy.at) or false end
  local consumeFast = policy.fast
  -- Without a stride all calls are on one key.
  local runs, length = calls, 1
  if stride == 0 then runs, length = 1, calls end
  for _ = 1, runs do
    local stored, value, available, rest, reset, expiry = values[at], false
    if consumeFast then value, available, rest, reset, expiry = consumeFast(stored, cost, length) end
    if ttlOf and expiry then expiry = ttlOf(expiry) end
    if value and stored then
      call('SETRANGE', KEYS[at], '0', value)
      if expiry then call(expireCommand, KEYS[at], expiry) end
      values[at] = value
    elseif value then
      -- What MGET left out may be of another type.
      value = call('SET', KEYS[at], value, 'NX', ttlOption, expiry) and value
      values[at] = value
    end

    if not value then
      if not general then general = consumeGeneral() end
      general(index, cost, blockFor, at, length)
      plain = 0
    elseif length > 1 then
      reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = RUN, length, available, rest
      n = n + 4
      plain = 0
    else
      if plain == 0 then
        n = n + 1
        plain = n
        reply[n] = 0
      end
      reply[plain] = reply[plain] + PLAIN
      reply[n + 1], reply[n + 2] = available, reset
      n = n + 2
    end
    at = at + stride
  end
end
return reply

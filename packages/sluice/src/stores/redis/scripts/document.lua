-- Keeps the versions of a document under one name; reads them; publishes the next one if the one in force is the expected
-- one.
--
-- KEYS    the document      a hash: version, digest; floor, which the next version is above; versions, those that are
--                           kept, from the oldest on; and of each the fields n<version>, its note, and t<version>, its text
--
-- ARGV    now               µs; '' = the server's own clock
--         verb              'head', 'read', 'history' or 'publish'
--         head:
--           seen            the highest version that the caller knows of
--         read:
--           version         0 = the one in force
--         publish:
--           seen            as above
--           expected        the version in force
--           kept            how many versions stay
--           digest, note, text
--           channel         where to announce it; '' = nowhere
--
-- Reply   head              version, digest, now
--         read              nothing, or version, note, text
--         history           version, note of each, from the oldest on
--         publish           1 = published, the version in force, now
--
-- @include stores/redis/scripts/include/prelude.lua
-- @include stores/redis/scripts/include/clock.lua
local key, verb, max = KEYS[1], ARGV[2], math.max
local version = call('HGET', key, 'version') or '0'

-- What the server has lost must not come again under another text.
local function raiseFloor(seen)
  local floor = call('HGET', key, 'floor') or '0'
  if seen + 0 > version + 0 and seen + 0 > floor + 0 then
    call('HSET', key, 'floor', seen)
    return seen + 0
  end
  return max(version + 0, floor + 0)
end

if verb == 'head' then
  raiseFloor(ARGV[3])
  return { version, call('HGET', key, 'digest') or '', string.format('%.0f', raw) }
end

if verb == 'read' then
  local wanted = ARGV[3] == '0' and version or ARGV[3]
  local text = call('HGET', key, 't' .. wanted)
  if not text then return {} end
  return { wanted, call('HGET', key, 'n' .. wanted), text }
end

local kept = {}
for each in (call('HGET', key, 'versions') or ''):gmatch('%d+') do kept[#kept + 1] = each end

if verb == 'history' then
  local reply = {}
  for _, each in ipairs(kept) do
    reply[#reply + 1] = each
    reply[#reply + 1] = call('HGET', key, 'n' .. each)
  end
  return reply
end

local now = string.format('%.0f', raw)
if version ~= ARGV[4] then return { 0, version, now } end
local nextVersion = string.format('%.0f', raiseFloor(ARGV[3]) + 1)
while #kept >= ARGV[5] + 0 do
  local oldest = table.remove(kept, 1)
  call('HDEL', key, 'n' .. oldest, 't' .. oldest)
end
kept[#kept + 1] = nextVersion
local note = string.format('%.0f', floor(raw / 1000)) .. ' ' .. ARGV[6] .. ' ' .. ARGV[7]
call('HSET', key, 'n' .. nextVersion, note, 't' .. nextVersion, ARGV[8])
call('HSET', key, 'version', nextVersion, 'digest', ARGV[6], 'versions', table.concat(kept, ' '))
-- Only a hint: if the client may not publish, processes ask. A Cluster's channels carry their key's tag.
local channel = ARGV[9]
if channel ~= '' then
  redis.pcall(channel:find('{', 1, true) and 'SPUBLISH' or 'PUBLISH', channel, nextVersion)
end
return { 1, nextVersion, now }

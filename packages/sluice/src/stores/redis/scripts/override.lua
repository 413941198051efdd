-- Reads the overrides of a limiter if they have changed, or writes one.
--
-- KEYS    the overrides     a hash: '' = its version, every other field an id
--
-- ARGV    now               µs; '' = the server's own clock
--         verb              'read' or 'write'
--         read:
--           known           the version that the caller knows
--           ids             of what may be over: it is removed if it is
--         write:
--           most            how many there may be
--           id
--           text            its end in ms since the epoch or '-', and behind a space what TypeScript alone reads;
--                           '' = it is removed
--           note            of a removal: '-' and this take its place for a minute; '' = nothing does
--           channel         where to announce it
--
-- Reply   read: the version ('' = none), the clock in ms; and, of another version, ids and texts, each behind its id
--         write: 1 = done, 0 = there are too many
--
-- @include stores/redis/scripts/include/prelude.lua
-- @include stores/redis/scripts/include/clock.lua
local key, verb, now = KEYS[1], ARGV[2], floor(raw / 1000)
local NOTED_MS = 60000

local function isOver(text)
  local ends = text:match('^(%d+) ')
  return ends and ends + 0 <= now
end

local function holds(text)
  return text and not text:match('^%d+ %-') and not isOver(text)
end

if verb == 'read' then
  for i = 4, #ARGV do
    local text = call('HGET', key, ARGV[i])
    if text and isOver(text) then call('HDEL', key, ARGV[i]) end
  end
  local version = call('HGET', key, '') or ''
  if version == ARGV[3] then return { version, now } end
  local reply = { version, now }
  local all = call('HGETALL', key)
  for i = 1, #all, 2 do
    if all[i] ~= '' then
      reply[#reply + 1] = all[i]
      reply[#reply + 1] = all[i + 1]
    end
  end
  return reply
end

local most, id, text, note = ARGV[3] + 0, ARGV[4], ARGV[5], ARGV[6]
local isKnown = holds(call('HGET', key, id))
if text ~= '' and not isKnown and call('HLEN', key) >= most then
  local count = 0
  local all = call('HGETALL', key)
  for i = 1, #all, 2 do
    if all[i] == '' then
      -- The version is no override.
    elseif isOver(all[i + 1]) then
      call('HDEL', key, all[i])
    elseif holds(all[i + 1]) then
      count = count + 1
    end
  end
  if count >= most then return { 0 } end
end
if text == '' and note ~= '' and isKnown then text = string.format('%.0f', now + NOTED_MS) .. ' -' .. note end
if text == '' then call('HDEL', key, id) else call('HSET', key, id, text) end
-- Never an earlier version, also if the hash was lost in between.
local version = (call('HGET', key, '') or 0) + 1
if version < raw then version = raw end
version = string.format('%.0f', version)
call('HSET', key, '', version)
-- Only a hint: if the client may not publish, processes ask. A Cluster's channels carry their key's tag.
local channel = ARGV[7]
redis.pcall(channel:find('{', 1, true) and 'SPUBLISH' or 'PUBLISH', channel, version)
return { 1 }

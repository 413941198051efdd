-- Reads the overrides of a limiter where they have changed, or writes one.
--
-- KEYS    the overrides     a hash: '' = its version, every other field an id
--
-- ARGV    now               µs; '' = the server's own clock
--         verb              'read' or 'write'; what follows the next is of 'write'
--         known             read: the version that the caller knows. write: how many there may be
--         id
--         text              its end in ms since the epoch or '-', and behind a space what TypeScript alone reads;
--                           '' = it is removed
--
-- Reply   read: the version ('' = none), the clock in ms; and, of another version, ids and texts, each behind its id
--         write: 1 = done, 0 = there are too many
--
-- @include stores/redis/scripts/include/prelude.lua
-- @include stores/redis/scripts/include/clock.lua
local key, verb, now = KEYS[1], ARGV[2], floor(raw / 1000)
if verb == 'read' then
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

local id, text, count = ARGV[4], ARGV[5], 0
local all = call('HGETALL', key)
for i = 1, #all, 2 do
  local ends = all[i + 1]:match('^(%d+) ')
  if all[i] == '' then
    -- The version is no override.
  elseif ends and ends + 0 <= now then
    call('HDEL', key, all[i])
  elseif all[i] ~= id then
    count = count + 1
  end
end
if text ~= '' and count >= ARGV[3] + 0 then return 0 end
if text == '' then call('HDEL', key, id) else call('HSET', key, id, text) end
-- Never one that was before, also where the hash was lost meanwhile.
local version = (call('HGET', key, '') or 0) + 1
if version < raw then version = raw end
call('HSET', key, '', string.format('%.0f', version))
return 1

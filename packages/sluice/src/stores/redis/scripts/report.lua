-- Notes in the table of a minute what one process has counted in it; or reads the table, or the clock alone.
--
-- KEYS    the minute        a hash; not touched by 'now'
--
-- ARGV    now               µs; '' = the server's own clock
--         verb              'now', 'read' or 'write'; what follows is of the last
--         expiry            of the minute: ms since the epoch
--         turn              of this write
--         process           the field of the process's own line
--         line              "1", the turn, and what TypeScript alone reads
--         fields            to the end: field, text
--
-- Reply   read: fields and texts, each behind its field, and last the clock
--         write             1 = the process had a line before
--         the clock         ms
--
-- @include stores/redis/scripts/include/prelude.lua
-- @include stores/redis/scripts/include/clock.lua
local key, verb, now = KEYS[1], ARGV[2], floor(raw / 1000)
if verb == 'now' then return { now } end
if verb == 'read' then
  local reply = call('HGETALL', key)
  reply[#reply + 1] = now
  return reply
end

local line = call('HGET', key, ARGV[5])
local turn = line and line:match('^1 (%d+) ')
-- A client may send again what it sent long ago: what came later stays.
if not turn or turn + 0 <= ARGV[4] + 0 then
  for i = 5, #ARGV, 2 do call('HSET', key, ARGV[i], ARGV[i + 1]) end
  call(expireCommand, key, ttlOf and ttlOf(ARGV[3]) or ARGV[3])
end
return { line and 1 or 0, now }

-- Executes commands on semaphores, one after another, on one reading of the clock.
--
-- KEYS    the semaphores    each one sorted set, so that a Cluster always has all of it on one node
--
-- ARGV    now               µs; '' = the server's own clock
--         commands          to the end; of each:
--           key             its index
--           verb            see SEMAPHORE_VERBS in kernel.ts
--           limit           applies if none is stored; of setLimit, the one to store
--           lease           of holders, µs
--           claim           of a permit that was handed over, until it is confirmed, µs
--           wait            of waiters, µs
--           channel         where to wake those who get in line by this command
--           count           of its entries; of each:
--             id            of the acquisition
--             number        the weight to acquire; else the fence, or 0
--
-- Reply   now               the clock, µs
--         commands          of each:
--           error           0, or one of wire.ts and nothing else
--           next            µs until a holder's lease may end; 0 = there is more to do at once; -1 = there is no holder
--           limit, held, waiting
--           entries         of each:
--             outcome       see OUTCOME in kernel.ts
--             number        fence, ticket or limit
--             until         the end of the lease, µs
--
-- @include stores/redis/scripts/include/prelude.lua
-- @include stores/redis/scripts/include/clock.lua
--
-- @const FORMAT, STATE_PATTERN from algorithms/semaphore/format.lua
-- @const WRONG_TYPE, WRONG_FORMAT from stores/redis/wire.ts
local now = raw
local reply, size = { now }, 1

-- Executes the command on `key` whose entries are ARGV[from] to ARGV[to]; what cannot be read is its own error.
local function execute(key, verb, limit, lease, claim, wait, channel, from, to)
  -- The type is checked before the first write: an error in the middle would keep what was written.
  local lowest = redis.pcall('ZRANGE', key, '0', '1')
  if lowest.err then
    if not lowest.err:find('WRONGTYPE', 1, true) then error(lowest.err, 0) end
    size = size + 1
    reply[size] = WRONG_TYPE
    return
  end
  local stored, headText = lowest[1], lowest[2]
  local state = { limit = 0, counter = 0, held = 0, expiry = 0 }
  local holding, waiting = 0, 0
  if stored then
    local format, storedLimit, counter, held, expiry, holders, waiters = stored:match(STATE_PATTERN)
    if format ~= FORMAT then
      size = size + 1
      reply[size] = WRONG_FORMAT
      return
    end
    state.limit, state.counter, state.held, state.expiry = storedLimit + 0, counter + 0, held + 0, expiry + 0
    holding, waiting = holders + 0, waiters + 0
  end

  -- @include algorithms/semaphore/kernel.lua
end

local at = 1
while at < #ARGV do
  local to = at + 8 + 2 * ARGV[at + 8]
  execute(KEYS[ARGV[at + 1] + 0], ARGV[at + 2] + 0, ARGV[at + 3] + 0, ARGV[at + 4] + 0, ARGV[at + 5] + 0, ARGV[at + 6] + 0,
    ARGV[at + 7], at + 9, to)
  at = to
end
return reply

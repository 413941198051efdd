-- The clock, and how expiries are set by it.
--
-- Makes   raw             µs: ARGV[1] if it is given, else the server's own clock
--         ttlOption, expireCommand, ttlOf    of SET and EXPIRE; ttlOf turns an expiry into what they take, if it must
local ttlOption, expireCommand, ttlOf = 'PXAT', 'PEXPIREAT', nil
local raw
if ARGV[1] == '' then
  local time = call('TIME')
  raw = time[1] * 1000000 + time[2]
else
  raw = ARGV[1] + 0
  -- Under a clock of the tests the real one must not evict a key before its time.
  local LEAST_TTL_MS = 3600000
  ttlOption, expireCommand = 'PX', 'PEXPIRE'
  ttlOf = function(expiry)
    return math.max(LEAST_TTL_MS, expiry - floor(raw / 1000))
  end
end

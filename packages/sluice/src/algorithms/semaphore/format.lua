-- What Redis stores of a semaphore: a sorted set. Each kind of number has its own band of scores; times are µs, but the
-- expiry ms.
--
-- -inf               '#' and the state: format, limit, counter, held, expiry, how many hold, how many wait
-- ticket or fence    'd', weight, id, channel: what is known of a member; and 't' and the id
-- end of the lease   'e' and the id
local FORMAT = '1'
local STATE = '#%s %.0f %.0f %.0f %.0f %.0f %.0f'
local STATE_PATTERN = '^#(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$'
local MEMBER = 'd%.0f %s %s'
local MEMBER_PATTERN = '^d(%d+) (%S+) (.*)$'

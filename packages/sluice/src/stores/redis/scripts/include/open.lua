-- Begins a batch: reads the positions of the policies in ARGV, and what is stored.
--
-- Arguments become numbers by "+ 0", which costs half of tonumber(). Numbers given to Redis become text, which
-- costs as much as some commands: what is always the same is text already.
--
-- Makes   policies        by index; `at` is the index of the tag in ARGV; count and numbers follow it
--         cursor          where the last of them ends in ARGV
--         values          what is stored, by index of the key
--         reply, n        the reply, and its length
local cursor = 2
local policies = {}
for i = 1, ARGV[2] + 0 do
  cursor = cursor + 1
  policies[i] = { tag = ARGV[cursor], at = cursor + 1, fast = nil, kernel = nil, params = nil }
  cursor = cursor + 1 + ARGV[cursor + 1]
end

-- One MGET for all keys: it leaves out what is not a string, so what is missing may be of another type.
local values = call('MGET', unpack(KEYS))

local reply, n = { raw }, 1

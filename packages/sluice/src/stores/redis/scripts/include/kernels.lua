-- What the kernels and the verbs need: the table of kernels, and how a state is read and written.
--
-- @const WRONG_TYPE, WRONG_FORMAT from stores/redis/wire.ts
local byte, min, max = string.byte, math.min, math.max

-- By tag. Beside the functions of their twins they have:
--   params(at)        their numbers, which follow ARGV[at]
--   unpack(s, value)  a stored value becomes `s`; false if the format is unknown
--   pack(s)           the value to store
--   load(key)         instead of unpack, if a state is not one value: the state, or nil and why not
--   save(s)           instead of pack
local kernels = {}

-- The policies of the batch, as the verbs want them: made from ARGV when first used.
local function policyOf(index)
  local policy = policies[index]
  if not policy.kernel then
    policy.kernel = kernels[policy.tag]
    policy.params = policy.kernel.params(policy.at)
  end
  return policy
end

-- A value of another type is the fault of one key; any other error, such as a missing permission, is not.
local function wrongType(failure)
  if not failure.err:find('WRONGTYPE', 1, true) then error(failure.err, 0) end
  return WRONG_TYPE
end

-- The state under KEYS[at]; nil and why not, if not.
local function load(kernel, at)
  local key, value = KEYS[at], values[at]
  if kernel.load then return kernel.load(key) end
  if not value and call('EXISTS', key) == 1 then return nil, WRONG_TYPE end
  local state = kernel.fresh(key)
  if value and not kernel.unpack(state, value) then return nil, WRONG_FORMAT end
  return state
end

-- As SET and EXPIRE take it.
local function ttl(expiry)
  return ttlOf and ttlOf(expiry) or expiry
end

local function expire(key, expiry)
  call(expireCommand, key, ttl(expiry))
end

-- KEYS[at] becomes `value`. In place if the old one was as long, which is half the work of SET; and the expiry is set only
-- if it moved.
local function store(at, value, s)
  local key, old = KEYS[at], values[at]
  if old and #old == #value then
    call('SETRANGE', key, '0', value)
    if s.moved then expire(key, s.expiry) end
  elseif s.moved then
    call('SET', key, value, ttlOption, ttl(s.expiry))
  else
    call('SET', key, value, 'KEEPTTL')
  end
  values[at] = value
end

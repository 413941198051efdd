-- What the kernels and the verbs need: more of the wire's numbers, and the table of kernels.
local byte, min, max = string.byte, math.min, math.max

local CONSUME, CONSUME_UP_TO, PEEK, REFUND, PENALIZE, BLOCK, UNBLOCK, RESET = 1, 2, 3, 4, 5, 6, 7, 8
local RESERVE, CANCEL, EXTEND_BLOCK = 9, 10, 11
local OK, QUOTA, TOO_COSTLY, BLOCKED = 0, 1, 2, 3
local UNIT, NEVER, MAX_USED = 1000, -1, 35184372088832

-- A value of another type is the fault of one key; any other error, such as a missing permission, is not.
local function wrongType(failure)
  if not failure.err:find('WRONGTYPE', 1, true) then error(failure.err, 0) end
  return WRONG_TYPE
end

-- By tag. Each makes its parameters of what stands behind ARGV[at].
local kernels = {}

-- The policies of the batch, as the verbs want them: made of what stands in ARGV when first used.
local function policyOf(index)
  local policy = policies[index]
  if not policy.kernel then
    policy.kernel = kernels[policy.tag]
    policy.params = policy.kernel.params(policy.at)
  end
  return policy
end

-- As SET and EXPIRE are told it.
local function ttl(expiry)
  return ttlOf and ttlOf(expiry) or expiry
end

local function expire(key, expiry)
  call(expireCommand, key, ttl(expiry))
end

-- KEYS[at] becomes `value`. In place where the old one was as long, which is half the work of SET; and the
-- expiry is left alone where it did not move.
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

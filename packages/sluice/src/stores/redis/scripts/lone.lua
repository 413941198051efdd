-- Decides the one consume of an idle store: on a debit, or on a set of up to four, whose states are one value each. What is
-- usual of it, and a denial by quota, is decided first, and returns. All else is decided behind that, from the same values,
-- by the text of a batch: its functions are not made before.
--
-- A text is made for a sequence of policies, see lone-scripts.ts. Lines from "@each" to "@end" stand there once for each
-- debit, with its index for #. At "@ask" its fast path is asked, by the lines of that, not by a function. What they need
-- stands at "@ahead" and "@numbers": the policies' numbers, or where these are in ARGV.
--
-- KEYS    one for each debit
--
-- ARGV    now                     µs; '' = the server's own clock
--         block                   µs for which a denial blocks; 0 = not
--         cost                    thousandths; of each debit
--         numbers                 of each policy, see the kernel; only where the text does not have them
--
-- Reply   as in consume.lua or, of several debits, in sets.lua
--
-- @const PLAIN, REASONS_FOLLOW from stores/redis/wire.ts
-- @const READY from algorithms/kernel.ts
-- @const REASON from algorithms/debit.ts
do
  -- @include stores/redis/scripts/include/prelude.lua
  -- @include stores/redis/scripts/include/clock.lua
  -- @ahead

  local values = call('MGET', unpack(KEYS))
  local isFast, length = true, 1
  -- @numbers
  local isUsual, isDenied, isBlocking = isFast, false, ARGV[2] ~= '0'
  -- Every policy is asked before anything is written.
  -- @names stored, cost, new, available, rest, reset, expiry
  -- @each
  if isUsual then
    stored#, cost# = values[#], ARGV[2 + #] + 0
    -- @ask
    if new# then
      if ttlOf and expiry# then expiry# = ttlOf(expiry#) end
    elseif new# == nil or rest# == 0 or isBlocking then
      isUsual = false
    else
      isDenied = true
    end
  end
  -- @end

  if isUsual and isDenied then
    -- Nothing changes, for those who had room neither.
    -- @each
    if new# then
      cost# = 0
      -- @ask
    end
    if not stored# and call('EXISTS', KEYS[#]) == 1 then isUsual = false end
    -- @end
    if isUsual then
      return {
        raw, READY + REASONS_FOLLOW,
        -- @each
        available#, reset#, rest# > 0 and REASON.quota or REASON.ok, rest#,
        -- @end
      }
    end
  elseif isUsual then
    -- What MGET left out may be of another type, so what is new is first.
    -- @each
    local made# = stored# or isUsual and call('SET', KEYS[#], new#, 'NX', ttlOption, expiry#)
    isUsual = isUsual and made#
    -- @end
    if isUsual then
      -- @each
      if stored# then
        call('SETRANGE', KEYS[#], '0', new#)
        if expiry# then call(expireCommand, KEYS[#], expiry#) end
      end
      -- @end
      return {
        raw, PLAIN,
        -- @each
        available#, reset#,
        -- @end
      }
    end
    -- @each
    if made# and not stored# then call('DEL', KEYS[#]) end
    -- @end
  end
end

-- @batch

-- What fast paths answer when nothing is written, once for all of them: lines of `measure` in decide.ts.
--
-- Given   raw, wait, reset    µs
--         value               stored, or false
--         expiry              ms: when it expires
-- Makes   wait, reset         no more than what is left until then
if value then
  local left = expiry * 1000 - raw
  if wait > left then wait = left end
  if reset > left then reset = left end
end

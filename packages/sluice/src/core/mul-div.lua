-- Exact a*b/m for integers whose product may pass 2^53. Twin of mul-div.ts, whose mulDivWide is inline here. Returns the
-- quotient and the remainder.
--
-- @const EXACT, BASE, TOP_SCALE from core/mul-div.ts
local function mulDiv(a, b, m)
  local direct = a * b
  if direct < EXACT then
    local quotient = floor(direct / m)
    return quotient, direct - quotient * m
  end
  local whole = floor(a / m)
  a = a - whole * m
  local quotient, r, tail, scale = 0, 0, b, TOP_SCALE
  while scale >= 1 do
    local digit = floor(tail / scale)
    tail = tail - digit * scale
    r = r * BASE + a * digit
    local step = floor(r / m)
    r = r - step * m
    quotient = quotient * BASE + step
    scale = scale / BASE
  end
  return whole * b + quotient, r
end

-- Exact a*b/m for integers whose product may pass 2^53: the twin of core/mul-div.ts.
-- Returns the quotient and the remainder.
local function mulDiv(a, b, m)
  local direct = a * b
  if direct < EXACT then
    local quotient = floor(direct / m)
    return quotient, direct - quotient * m
  end
  local whole = floor(a / m)
  a = a - whole * m
  local quotient, r, tail, scale = 0, 0, b, 4398046511104
  while scale >= 1 do
    local digit = floor(tail / scale)
    tail = tail - digit * scale
    r = r * 128 + a * digit
    local step = floor(r / m)
    r = r - step * m
    quotient = quotient * 128 + step
    scale = scale / 128
  end
  return whole * b + quotient, r
end

/** Exact a·b/m for integers whose product may pass 2^53: the twin of mul-div.lua. */

/** In [0]: the remainder of the last `mulDiv`, in [0, m). A second result without an allocation: read it at once. */
export const remainder: Float64Array = new Float64Array(1);

/** Products below this are exact. */
export const EXACT = 2 ** 53;
const BASE = 128;
const TOP_SCALE = BASE ** 6;

/**
 * ⌊a·b/m⌋, with the rest in `remainder[0]`.
 *
 * Integers only: 0 ≤ a, 0 ≤ b < 2^49, 0 < m ≤ 3.5e13. Beyond the plain product it goes through b in
 * base 128 (Horner's rule), so that r·128 + a·digit stays below 2^53. Quotients past 2^53 lose their
 * last bits; every caller only asks whether such a one is large.
 */
export function mulDiv(a: number, b: number, m: number): number {
  const direct = a * b;
  if (direct < EXACT) {
    const quotient = Math.floor(direct / m);
    remainder[0] = direct - quotient * m;
    return quotient;
  }
  const whole = Math.floor(a / m);
  return whole * b + mulDivWide(a - whole * m, b, m);
}

/** The same for a < m. */
function mulDivWide(a: number, b: number, m: number): number {
  let quotient = 0;
  let r = 0;
  let tail = b;
  for (let scale = TOP_SCALE; scale >= 1; scale /= BASE) {
    const digit = Math.floor(tail / scale);
    tail -= digit * scale;
    r = r * BASE + a * digit;
    const step = Math.floor(r / m);
    r -= step * m;
    quotient = quotient * BASE + step;
  }
  remainder[0] = r;
  return quotient;
}

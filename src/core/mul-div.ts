/** Exact a·b/m for integers whose product may pass 2^53: the twin of mul-div.lua. */

/** Remainder of the last `mulDiv`, in [0, m). A second result without an allocation: read it at once. */
export let remainder = 0;

const EXACT = 2 ** 53;
const BASE = 128;
const TOP_SCALE = BASE ** 6;

/**
 * ⌊a·b/m⌋, with the rest in `remainder`.
 *
 * Integers only: 0 ≤ a, 0 ≤ b < 2^49, 0 < m ≤ 3.5e13. Beyond the plain product it goes through b in
 * base 128 (Horner's rule), so that r·128 + a·digit stays below 2^53. Quotients past 2^53 lose their
 * last bits; every caller only asks whether such a one is large.
 */
export function mulDiv(a: number, b: number, m: number): number {
  const whole = Math.floor(a / m);
  const rest = a - whole * m;
  const product = rest * b;
  if (product < EXACT) {
    const quotient = Math.floor(product / m);
    remainder = product - quotient * m;
    return whole * b + quotient;
  }
  let quotient = 0;
  let r = 0;
  let tail = b;
  for (let scale = TOP_SCALE; scale >= 1; scale /= BASE) {
    const digit = Math.floor(tail / scale);
    tail -= digit * scale;
    r = r * BASE + rest * digit;
    const step = Math.floor(r / m);
    r -= step * m;
    quotient = quotient * BASE + step;
  }
  remainder = r;
  return whole * b + quotient;
}

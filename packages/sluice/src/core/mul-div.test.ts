import { describe, expect, test } from "vitest";
import { Random } from "./random.js";
import { mulDiv, remainder } from "./mul-div.js";
import { runs } from "../../test/support/runs.js";

const CASES = runs(200_000);
const MAX_USED = 2 ** 45;
const MAX_FACTOR = 2 ** 49 - 1;
const EXACT = 2n ** 53n;

/** What kernels divide by: periods in µs up to 366 days, limits and counts in thousandths. */
const DIVISORS = [1, 2, 3, 7, 127, 128, 1000, 1e6, 1e12, 366 * 86_400e6, 3.5e13, MAX_USED];
const FACTORS = [0, 1, 2, 127, 128, 1e6, 1e12, 2 ** 42, 2 ** 42 - 1, MAX_USED, MAX_FACTOR];

/** A whole number of a random magnitude up to `most`, and now and then `most` itself. */
function magnitude(random: Random, most: number): number {
  if (random.chance(0.02)) return most;
  const bits = random.next() * Math.log2(most + 1);
  return Math.min(most, Math.floor(2 ** bits - 1 + random.next()));
}

function check(a: number, b: number, m: number): void {
  const quotient = mulDiv(a, b, m);
  const rest = remainder[0] as number;
  const exact = (BigInt(a) * BigInt(b)) / BigInt(m);
  const where = `${a}·${b}/${m}`;
  if (BigInt(rest) !== (BigInt(a) * BigInt(b)) % BigInt(m)) expect.fail(`${where}: rest ${rest}`);
  const right = exact <= EXACT ? BigInt(quotient) === exact : BigInt(quotient) >= EXACT;
  if (!right) expect.fail(`${where}: ${quotient}, not ${exact}`);
}

describe("mulDiv", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);

  test(`is exact on ${CASES} random products of every magnitude (seed ${seed})`, () => {
    const random = new Random(seed);
    for (let i = 0; i < CASES; i++) {
      check(
        magnitude(random, random.chance(0.5) ? MAX_USED : 2 ** 53 - 1),
        magnitude(random, random.chance(0.5) ? MAX_USED : MAX_FACTOR),
        Math.max(1, magnitude(random, MAX_USED)),
      );
    }
  });

  test("is exact where a digit, a product or a divisor is at its extreme", () => {
    for (const a of [...FACTORS, Number.MAX_SAFE_INTEGER]) {
      for (const b of FACTORS) {
        for (const m of DIVISORS) {
          for (const near of [-1, 0, 1]) check(Math.max(0, a + near), b, m);
          if (m > 1) check(m - 1, b, m);
        }
      }
    }
  });

  test("never rounds a quotient up just below a whole one, on either side of 2^53", () => {
    for (const m of [3, 7, 1000, 999_983, 31_622_400_000_000, MAX_USED]) {
      for (const quotient of [1, 2 ** 10, Math.floor(2 ** 53 / m), Math.floor(2 ** 54 / m)]) {
        // As one factor, and as two: quotient·m − 1 is odd or even as it comes.
        if (quotient * m - 1 < 2 ** 53) check(quotient * m - 1, 1, m);
        check(m - 1, quotient + 1, m);
        check(m - 1, Math.max(1, quotient - 1), m);
      }
    }
  });

  test("says of a quotient past 2^53 only that it is large", () => {
    expect(mulDiv(2 ** 45, 2 ** 49 - 1, 1)).toBeGreaterThan(2 ** 93);
    expect(remainder[0]).toBe(0);
  });
});

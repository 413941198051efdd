/** Exact fractions, for bounds that no double holds. */

/** An exact ratio of two integers in lowest terms; the denominator is positive. */
export interface Fraction {
  /** Above the line. */
  readonly numerator: bigint;
  /** Below the line; positive. */
  readonly denominator: bigint;
}

export function fraction(numerator: bigint, denominator = 1n): Fraction {
  if (denominator === 0n) throw new RangeError("a fraction's denominator cannot be 0");
  const sign = denominator < 0n ? -1n : 1n;
  const divisor = greatestCommonDivisor(numerator, denominator) * sign;
  return { numerator: numerator / divisor, denominator: denominator / divisor };
}

export function subtract(a: Fraction, b: Fraction): Fraction {
  return fraction(
    a.numerator * b.denominator - b.numerator * a.denominator,
    a.denominator * b.denominator,
  );
}

/**
 * The nearest double, for display and JSON; comparisons stay exact.
 *
 * @throws nothing
 * @example
 * import { fractionToNumber } from "sluice/audit";
 * console.log(fractionToNumber({ numerator: 5n, denominator: 2n })); // 2.5
 */
export function fractionToNumber({ numerator, denominator }: Fraction): number {
  const whole = numerator / denominator;
  const rest = numerator % denominator;
  return Number(whole) + Number((rest * 10n ** 15n) / denominator) / 1e15;
}

/**
 * "5" or "63/5": nothing is lost.
 *
 * @throws nothing
 * @example
 * import { fractionToText } from "sluice/audit";
 * console.log(fractionToText({ numerator: 5n, denominator: 2n })); // 5/2
 */
export function fractionToText({ numerator, denominator }: Fraction): string {
  return denominator === 1n ? `${numerator}` : `${numerator}/${denominator}`;
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let x = a < 0n ? -a : a;
  let y = b < 0n ? -b : b;
  while (y > 0n) [x, y] = [y, x % y];
  return x;
}

/** Numbers for random policies: limits and spans that do not divide each other, and extremes. */
import { MAX_UNITS } from "../core/amount.js";
import type { Random } from "../core/random.js";

export const RATES: readonly (readonly [limit: number, spanMs: number])[] = [
  [3, 1000],
  [0, 1000],
  [7, 60_000],
  [1e6, 1000],
  [1, 31 * 86_400_000],
  [0.5, 1000],
  [10, 1000],
  [2.345, 777.777],
  [1e9, 1],
  [1e9, 366 * 86_400_000],
  [100, 3_600_000],
  [13, 0.001 * 1_234_567],
  [0.001, 10_000],
];

const CENTURY_MS = 36_525 * 86_400_000;

/** What a bucket may hold that gets `limit` back each `periodMs`. */
export function randomBurst(random: Random, limit: number, periodMs: number): number {
  const burst = random.pick([limit, 1, limit * 2, 0.5, 5, MAX_UNITS]);
  const most = Math.min(MAX_UNITS, (limit * CENTURY_MS) / periodMs / 2);
  return Math.max(0.001, Math.floor(Math.min(burst, most) * 1000) / 1000);
}

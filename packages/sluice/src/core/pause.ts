/** Pauses between attempts to reach a store that fails. */

const FIRST_MS = 50;
const LONGEST_MS = 1000;

/** How long to pause after `failures` attempts in a row, 1 or more: longer each time, and at random, for many may wait. */
export function pauseMsAfter(failures: number): number {
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}

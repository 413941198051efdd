/** When to ask again. */

const EACH_MS = 1000;
const LONGEST_MS = 30_000;

/**
 * From the end of one poll to the next, in ms: a second from start to start, and twice as long after each failure, up to
 * half a minute. Half of that is by chance, so that pages do not come back together.
 * @param chance from 0 to 1
 */
export function pollDelayMs(failures: number, tookMs: number, chance: number): number {
  if (failures === 0) return Math.max(EACH_MS - tookMs, EACH_MS / 4);
  const longest = Math.min(LONGEST_MS, EACH_MS * 2 ** failures);
  return longest / 2 + (longest / 2) * chance;
}

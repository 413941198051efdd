/** Interleaved rounds, so that what slows the machine for a while slows all entrants. */

/**
 * @typedef {object} Schedule
 * @property {number} rounds
 * @property {number} ms length of one measurement
 * @property {boolean} isQuick whether to leave out what takes long
 * @property {number} endsAtMs no round but the first starts after this, on performance.now()
 * @property {(line: string) => void} say progress
 */

/**
 * A B C, then B C A, and so on: none always comes after the same one. Every entrant gets the same
 * seed in a round.
 * @template E
 * @template R
 * @param {Schedule} schedule
 * @param {readonly E[]} entrants
 * @param {(entrant: E, seed: number) => Promise<R>} measure
 * @returns {Promise<R[][]>} for each entrant one result a round
 */
export async function interleave({ rounds, endsAtMs, say }, entrants, measure) {
  /** @type {R[][]} */
  const results = entrants.map(() => []);
  for (let round = 0; round < rounds; round++) {
    if (round > 0 && performance.now() > endsAtMs) {
      say(`out of time after ${round} of ${rounds} rounds`);
      break;
    }
    say(`round ${round + 1} of ${rounds}`);
    for (let i = 0; i < entrants.length; i++) {
      const at = (i + round) % entrants.length;
      results[at]?.push(await measure(/** @type {E} */ (entrants[at]), round + 1));
    }
  }
  return results;
}

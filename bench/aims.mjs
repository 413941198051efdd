/** What Sluice set out to reach, of `--quick` and of the whole run: at its defaults, beside the peers in the same run. */

/** The least of a ratio or the most of it, as tables show it. @typedef {{ least: number } | { most: number }} Aim */

export const AIMS = /** @satisfies {Record<string, Aim>} */ ({
  twoPoliciesOfOne: { least: 0.62 },
  twoPoliciesOfUnion: { least: 3 },
  twoPoliciesLoneUs: { most: 15 },
  loneOfReference: { least: 0.95 },
  loneOfEmpty: { most: 1.22 },
  cold: { most: 1 },
  memorySync: { least: 2.9 },
  memoryAwaited: { least: 1.8 },
  p99At64: { most: 0.8 },
  distinctOfReference: { least: 2.6 },
  distinctOfCounter: { least: 1.6 },
  hot: { least: 11 },
  flood: { least: 20 },
  floodOfBlocking: { least: 2 },
  mixed: { least: 0.7 },
  handOffIoredis: { most: 2.3 },
  handOffRedis: { most: 2 },
});

/** @param {Aim} aim */
export function inWords(aim) {
  return "least" in aim ? `≥ ${aim.least}` : `≤ ${aim.most}`;
}

/** @param {Aim} aim @param {number} value */
export function holds(aim, value) {
  return "least" in aim ? value >= aim.least : value <= aim.most;
}

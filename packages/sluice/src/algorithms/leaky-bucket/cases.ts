/** The leaky bucket's worked examples. */
import { type AlgorithmCase, allows, denies, neverFits } from "../case-table.js";
import { leakyBucket } from "./policy.js";

export const leakyBucketCases: readonly AlgorithmCase[] = [
  {
    name: "a leaky bucket refuses what would overflow",
    policy: leakyBucket({ limit: 2, period: "1s", capacity: 5 }),
    steps: [
      { at: 0, cost: 4, says: allows(1, 2000) },
      { at: 0, cost: 2, says: denies(500, 1, 2000) },
      { at: 500, cost: 2, says: allows(0, 2500) },
      { at: 500, cost: 6, says: neverFits(0) },
    ],
  },
];

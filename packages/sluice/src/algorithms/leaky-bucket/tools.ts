/** The leaky bucket for the audit, the command line and the tests. */
import { CAPACITY, LIMIT, PERIOD } from "../fields.js";
import { randomBurst, RATES } from "../random-policy.js";
import type { AlgorithmTools } from "../tools.js";
import { leakyBucketCases } from "./cases.js";
import { leakyBucket, leakyBucketAlgorithm, type LeakyBucketPolicy } from "./policy.js";

export const leakyBucketTools: AlgorithmTools<LeakyBucketPolicy> = {
  algorithm: leakyBucketAlgorithm,
  isMonotone: () => true,
  bound: ({ limit, period, capacity }) => ({
    kind: "rate",
    limit,
    period,
    burst: capacity,
    refill: "continuous",
  }),
  describe: ({ limit, period, capacity }, { number, span }) =>
    `leaks ${number(limit)} per ${span(period)}, capacity ${number(capacity)}`,
  fields: [LIMIT, PERIOD, CAPACITY],
  spanMs: ({ period }) => period,
  randomPolicy(random, name) {
    const [limit, period] = random.pick(RATES);
    return leakyBucket({ name, limit, period, capacity: randomBurst(random, limit, period) });
  },
  cases: { "leaky bucket": leakyBucketCases },
};

/** The token bucket for the audit, the command line and the tests. */
import { changedOptionsCases } from "../bucket/changed-options-cases.js";
import { reservationCases } from "../bucket/reservation-cases.js";
import { bucketVerbCases } from "../bucket/verb-cases.js";
import { burstField, LIMIT, PERIOD, textField } from "../fields.js";
import { randomBurst, RATES } from "../random-policy.js";
import type { AlgorithmTools } from "../tools.js";
import { tokenBucketCases } from "./cases.js";
import { tokenBucket, tokenBucketAlgorithm, type TokenBucketPolicy } from "./policy.js";

export const tokenBucketTools: AlgorithmTools<TokenBucketPolicy> = {
  algorithm: tokenBucketAlgorithm,
  isMonotone: ({ refill }) => refill === "continuous",
  bound: ({ limit, period, burst, refill }) => ({ kind: "rate", limit, period, burst, refill }),
  describe({ limit, period, burst, refill }, { number, span }) {
    const how = refill === "interval" ? ", refilled all at once" : "";
    return `${number(limit)} per ${span(period)}, burst ${number(burst)}${how}`;
  },
  fields: [
    LIMIT,
    PERIOD,
    burstField("the limit"),
    textField("refill", "HOW", "continuous (default) or interval"),
  ],
  spanMs: ({ period }) => period,
  randomPolicy(random, name) {
    const [limit, period] = random.pick(RATES);
    const refill = random.pick(["continuous", "interval"] as const);
    return tokenBucket({ name, limit, period, refill, burst: randomBurst(random, limit, period) });
  },
  cases: {
    "token bucket": tokenBucketCases,
    "verbs on a bucket": bucketVerbCases,
    "changed options of a bucket": changedOptionsCases,
    "waiting in line": reservationCases,
  },
};

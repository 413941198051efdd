/** The sliding window for the audit, the command line and the tests. */
import { LIMIT, WINDOW } from "../fields.js";
import { RATES } from "../random-policy.js";
import type { AlgorithmTools } from "../tools.js";
import { slidingWindowCases } from "./cases.js";
import { slidingWindow, slidingWindowAlgorithm, type SlidingWindowPolicy } from "./policy.js";

export const slidingWindowTools: AlgorithmTools<SlidingWindowPolicy> = {
  algorithm: slidingWindowAlgorithm,
  isMonotone: () => true,
  bound: ({ limit, window }) => ({ kind: "any-window", limit: 2 * limit, window, fewer: true }),
  describe: ({ limit, window }, { number, span }) =>
    `${number(limit)} per sliding window of ${span(window)}, estimated by two counts`,
  fields: [LIMIT, WINDOW],
  spanMs: ({ window }) => window,
  randomPolicy(random, name) {
    const [limit, window] = random.pick(RATES);
    return slidingWindow({ name, limit, window });
  },
  cases: { "sliding window": slidingWindowCases },
};

/** The sliding log for the audit, the command line and the tests. */
import { LIMIT, WINDOW } from "../fields.js";
import { RATES } from "../random-policy.js";
import type { AlgorithmTools } from "../tools.js";
import { slidingLogCases } from "./cases.js";
import { MAX_HITS } from "./kernel.js";
import { slidingLog, slidingLogAlgorithm, type SlidingLogPolicy } from "./policy.js";

const LOG_RATES = RATES.filter(([limit]) => limit <= MAX_HITS);

export const slidingLogTools: AlgorithmTools<SlidingLogPolicy> = {
  algorithm: slidingLogAlgorithm,
  isMonotone: () => true,
  bound: ({ limit, window }) => ({ kind: "any-window", limit, window, fewer: false }),
  describe: ({ limit, window }, { number, span }) => `${number(limit)} in any ${span(window)}`,
  fields: [LIMIT, WINDOW],
  spanMs: ({ window }) => window,
  randomPolicy(random, name) {
    const [limit, window] = random.pick(LOG_RATES);
    return slidingLog({ name, limit, window });
  },
  cases: { "sliding log": slidingLogCases },
};

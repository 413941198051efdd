/** The generic cell rate algorithm for the audit, the command line and the tests. */
import { burstField, LIMIT, PERIOD } from "../fields.js";
import { randomBurst, RATES } from "../random-policy.js";
import type { AlgorithmTools } from "../tools.js";
import { gcraCases } from "./cases.js";
import { gcra, gcraAlgorithm, type GcraPolicy } from "./policy.js";

export const gcraTools: AlgorithmTools<GcraPolicy> = {
  algorithm: gcraAlgorithm,
  isMonotone: () => true,
  bound: ({ limit, period, burst }) => ({
    kind: "rate",
    limit,
    period,
    burst,
    refill: "continuous",
  }),
  describe: ({ limit, period, burst }, { number, span }) =>
    `${number(limit)} per ${span(period)}, burst ${number(burst)}`,
  fields: [LIMIT, PERIOD, burstField("1")],
  spanMs: ({ period }) => period,
  randomPolicy(random, name) {
    const [limit, period] = random.pick(RATES);
    const burst = random.chance(0.5) ? 1 : randomBurst(random, limit, period);
    return gcra({ name, limit, period, burst });
  },
  cases: { gcra: gcraCases },
};

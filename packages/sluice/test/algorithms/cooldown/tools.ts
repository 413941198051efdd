/** The cooldown for the audit, the command line and the tests. */
import { LIMIT, PERIOD } from "../../../src/algorithms/fields.js";
import { RATES } from "../../../src/algorithms/random-policy.js";
import type { AlgorithmTools } from "../../../src/algorithms/tools.js";
import { cooldownCases } from "./cases.js";
import { cooldownAlgorithm, type CooldownPolicy } from "./policy.js";

export const cooldownTools: AlgorithmTools<CooldownPolicy> = {
  algorithm: cooldownAlgorithm,
  bound: ({ limit, period }) => ({ kind: "any-window", limit, window: period, fewer: false }),
  describe: ({ limit, period }, { number, span }) =>
    `${number(limit)}, then ${span(period)} of rest`,
  fields: [LIMIT, PERIOD],
  spanMs: ({ period }) => period,
  randomPolicy(random, name) {
    const [limit, period] = random.pick(RATES);
    return cooldownAlgorithm.parse({ name, limit, period }, "");
  },
  cases: { cooldown: cooldownCases },
};

/** The cooldown's worked examples. */
import { type AlgorithmCase, allows, denies } from "../../../src/algorithms/case-table.js";
import type { Policy } from "../../../src/algorithms/registry.js";
import { cooldownAlgorithm } from "./policy.js";

/** The types of the package know its own policies alone. */
const two = cooldownAlgorithm.parse({ limit: 2, period: "1s" }, "") as unknown as Policy;

export const cooldownCases: readonly AlgorithmCase[] = [
  {
    name: "what is admitted puts off the end of the rest, what is denied does not",
    policy: two,
    steps: [
      { at: 0, says: allows(1, 1000) },
      { at: 900, says: allows(0, 1000) },
      { at: 1000, says: denies(900) },
      { at: 1899.999, says: denies(1) },
      { at: 1900, cost: 2, says: allows(0, 1000) },
    ],
  },
];

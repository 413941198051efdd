/** Having no limit for the audit, the command line and the tests. */
import type { AlgorithmTools } from "../tools.js";
import { unlimitedCases } from "./cases.js";
import { unlimited, unlimitedAlgorithm, type UnlimitedPolicy } from "./policy.js";

export const unlimitedTools: AlgorithmTools<UnlimitedPolicy> = {
  algorithm: unlimitedAlgorithm,
  isMonotone: () => true,
  bound: () => ({ kind: "none" }),
  describe: () => "no limit",
  fields: [],
  spanMs: () => 1000,
  randomPolicy: (_random, name) => unlimited({ name }),
  cases: { unlimited: unlimitedCases },
};

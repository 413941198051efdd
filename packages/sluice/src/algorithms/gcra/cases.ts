/** GCRA's worked examples: what its default makes of the bucket. */
import { type AlgorithmCase, allows, denies, neverFits } from "../case-table.js";
import { gcra } from "./policy.js";

export const gcraCases: readonly AlgorithmCase[] = [
  {
    name: "gcra spaces calls period/limit apart",
    policy: gcra({ limit: 10, period: "1s" }),
    steps: [
      { at: 0, says: { ...allows(0, 100), limit: 1 } },
      { at: 50, says: denies(50) },
      { at: 100, says: allows(0, 100) },
      { at: 100, cost: 2, says: neverFits(0) },
      { at: 1000, says: allows(0, 100) },
    ],
  },
  {
    name: "gcra lets a burst come early",
    policy: gcra({ limit: 10, period: "1s", burst: 3 }),
    steps: [
      { at: 0, says: allows(2, 100) },
      { at: 0, cost: 2, says: allows(0, 300) },
      { at: 0, cost: 3, says: denies(300) },
      { at: 100, says: allows(0, 300) },
    ],
  },
];

/** Worked examples of having no limit, alone and among policies that have one. */
import { type AlgorithmCase, allows, blocks, denies } from "../case-table.js";
import { tokenBucket } from "../token-bucket/policy.js";
import { unlimited } from "./policy.js";

const name = "p";
const all = unlimited({ name });
const ten = tokenBucket({ name, limit: 10, period: "1s" });
const anything = { ...allows(Number.POSITIVE_INFINITY, 0), limit: Number.POSITIVE_INFINITY };

export const unlimitedCases: readonly AlgorithmCase[] = [
  {
    name: "everything is admitted, and nothing counted",
    policy: unlimited(),
    blockForMs: 1000,
    steps: [
      { at: 0, cost: 1e9, says: { ...anything, windowMs: 0, policy: "unlimited" } },
      { at: 0, cost: 1e9, says: anything },
      { at: 0, verb: "consumeUpTo", cost: 1e9, says: { ...anything, granted: 1e9 } },
      { at: 0, verb: "penalize", cost: 1e9, says: anything },
      { at: 0, verb: "refund", cost: 1, says: anything },
      { at: 0, verb: "reserve", cost: 5, says: { ...anything, readyAt: 0 } },
      { at: 0, verb: "peek", cost: 0, says: anything },
    ],
  },
  {
    name: "only a block denies",
    policy: all,
    steps: [
      { at: 0, verb: "block", durationMs: 1000 },
      { at: 500, says: blocks(500, Number.POSITIVE_INFINITY, 500) },
      { at: 1000, says: anything },
      { at: 1000, verb: "block", durationMs: 1000 },
      { at: 1000, verb: "unblock" },
      { at: 1000, says: anything },
    ],
  },
  {
    name: "a change of plan keeps the block, and what was in use as long as nothing changes",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0) },
      { at: 0, policy: all, cost: 50, verb: "peek", says: anything },
      { at: 0, says: denies(100) },
      { at: 0, policy: all, says: anything },
      { at: 0, says: allows(9) },
      { at: 0, verb: "block", durationMs: 500 },
      { at: 100, policy: all, says: blocks(400, Number.POSITIVE_INFINITY, 400) },
    ],
  },
  {
    name: "in a set the others decide",
    policy: [unlimited({ name: "none" }), tokenBucket({ name: "ten", limit: 10, period: "1s" })],
    steps: [
      { at: 0, cost: 8, says: { ...allows(2, 800), policy: "ten" } },
      { at: 0, cost: 3, says: { ...denies(100, 2), policy: "ten" } },
      { at: 0, verb: "consumeUpTo", cost: 5, says: { ...allows(0), granted: 2 } },
      { at: 0, verb: "reserve", says: { allowed: true, readyAt: 100 } },
      { at: 0, verb: "reserve", cost: 2, says: { allowed: true, readyAt: 300 } },
    ],
  },
];

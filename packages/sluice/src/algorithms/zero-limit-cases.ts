/** Worked examples of the limit 0, which admits nothing, for every algorithm alike. */
import { calendarWindow } from "./calendar-window/policy.js";
import { type AlgorithmCase, allows, denies, neverFits } from "./case-table.js";
import { fixedWindow } from "./fixed-window/policy.js";
import { gcra } from "./gcra/policy.js";
import { leakyBucket } from "./leaky-bucket/policy.js";
import type { Policy } from "./registry.js";
import { slidingLog } from "./sliding-log/policy.js";
import { slidingWindow } from "./sliding-window/policy.js";
import { tokenBucket } from "./token-bucket/policy.js";

const name = "p";
const period = "10s";
const window = "10s";
const DAY = 86_400_000;
const ten = tokenBucket({ name, limit: 10, period: "1s" });
const none = tokenBucket({ name, limit: 0, period: "1s", burst: 5 });

const policies: readonly (readonly [Policy, windowMs: number])[] = [
  [tokenBucket({ name, limit: 0, period }), 10_000],
  [tokenBucket({ name, limit: 0, period, burst: 7, refill: "interval" }), 10_000],
  [gcra({ name, limit: 0, period }), 10_000],
  [leakyBucket({ name, limit: 0, period, capacity: 5 }), 10_000],
  [fixedWindow({ name, limit: 0, window }), 10_000],
  [fixedWindow({ name, limit: 0, window, align: "first" }), 10_000],
  [calendarWindow({ name, limit: 0, unit: "day" }), DAY],
  [slidingWindow({ name, limit: 0, window }), 10_000],
  [slidingLog({ name, limit: 0, window }), 10_000],
];

export const zeroLimitCases: readonly AlgorithmCase[] = [
  ...policies.map(([policy, windowMs]): AlgorithmCase => {
    const nothing = { ...neverFits(0, 0), limit: 0, windowMs };
    return {
      name: `${policy.algorithm} ${"refill" in policy ? policy.refill : ""} of 0 admits nothing, ever`,
      policy,
      blockForMs: 1000,
      steps: [
        { at: 0, says: nothing },
        { at: 0, cost: 0.001, says: nothing },
        { at: 0, verb: "consumeUpTo", cost: 5, says: { ...nothing, granted: 0 } },
        { at: 0, verb: "reserve", says: { ...neverFits(0), limit: 0 } },
        { at: 0, verb: "refund", cost: 5, says: allows(0, 0) },
        { at: 0, cost: 0, says: allows(0, 0) },
        { at: 2 * DAY, says: nothing },
      ],
    };
  }),
  {
    name: "what is in use when the limit becomes 0 stays in use as long as it changes",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0, 1000) },
      { at: 500, policy: none, says: { ...neverFits(0), limit: 0, resetAfterMs: 1500 } },
      { at: 500, cost: 3, says: allows(2) },
    ],
  },
  {
    name: "a penalty under a limit of 0 never drains",
    policy: none,
    steps: [
      { at: 0, verb: "penalize", cost: 3, says: { allowed: false, resetAfterMs: 36_525 * DAY } },
      { at: DAY, verb: "penalize", cost: 1, says: { resetAfterMs: 36_525 * DAY } },
      { at: DAY, cost: 7, policy: ten, says: denies(100, 6) },
      { at: DAY, verb: "refund", cost: 4, says: allows(0, 0) },
    ],
  },
  {
    name: "in a set it denies for all",
    policy: [fixedWindow({ name: "none", limit: 0, window }), ten],
    steps: [
      { at: 0, says: { ...neverFits(0), policy: "none" } },
      { at: 0, verb: "reserve", says: { ...neverFits(0), policy: "none" } },
      { at: 0, cost: 0, says: allows(0, 0) },
    ],
  },
];

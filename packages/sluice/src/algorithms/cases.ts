/** Worked examples of what is the same for all algorithms: several policies on one key. */
import { gcra } from "./gcra/policy.js";
import { tokenBucket } from "./token-bucket/policy.js";
import { type AlgorithmCase, allows, blocks, denies, neverFits } from "./case-table.js";
import { fixedWindow } from "./fixed-window/policy.js";
import { slidingLog } from "./sliding-log/policy.js";
import { slidingWindow } from "./sliding-window/policy.js";

const burst = tokenBucket({ name: "burst", limit: 10, period: "1s" });
const daily = fixedWindow({ name: "daily", limit: 15, window: "1d" });
const DAY = 86_400_000;

export const severalPoliciesCases: readonly AlgorithmCase[] = [
  {
    name: "several policies are charged together or not at all",
    policy: [burst, daily],
    steps: [
      { at: 0, cost: 10, says: { ...allows(0, 1000), policy: "burst" } },
      { at: 0, cost: 2, says: { ...denies(200, 0), policy: "burst" } },
      // The denial charged the day nothing.
      {
        at: 500,
        cost: 0,
        says: {
          ...allows(5),
          policies: [
            { policy: "burst", limit: 10, windowMs: 1000, ...verdict(true, "ok", 5, 0, 500) },
            { policy: "daily", limit: 15, windowMs: DAY, ...verdict(true, "ok", 5, 0, DAY - 500) },
          ],
        },
      },
      { at: 500, cost: 5, says: { ...allows(0), policy: "burst" } },
      {
        at: 1500,
        says: {
          ...denies(DAY - 1500, 0),
          policy: "daily",
          policies: [
            { policy: "burst", limit: 10, windowMs: 1000, ...verdict(true, "ok", 10, 0, 0) },
            {
              policy: "daily",
              limit: 15,
              windowMs: DAY,
              ...verdict(false, "quota", 0, DAY - 1500, DAY - 1500),
            },
          ],
        },
      },
    ],
  },
  {
    name: "on a denial the policy with the longest wait decides, the first of equals",
    policy: [
      fixedWindow({ name: "ten", limit: 1, window: "10s" }),
      fixedWindow({ name: "minute", limit: 1, window: "1m" }),
      fixedWindow({ name: "twin", limit: 1, window: "1m" }),
    ],
    steps: [
      { at: 0, says: { ...allows(0), policy: "ten", windowMs: 10_000 } },
      { at: 1000, says: { ...denies(59_000), policy: "minute", windowMs: 60_000 } },
      { at: 1000, cost: 2, says: { ...neverFits(0), policy: "ten" } },
    ],
  },
  {
    name: "a cost that one policy can never admit is never admitted",
    policy: [gcra({ name: "spacing", limit: 1, period: "1s" }), daily],
    steps: [
      { at: 0, cost: 2, says: { ...neverFits(1), policy: "spacing" } },
      { at: 0, says: { ...allows(0), policy: "spacing" } },
      { at: 0, cost: 2, says: { ...neverFits(0), policy: "spacing" } },
    ],
  },
  {
    name: "an allowed call shows the policy with least remaining, the first of equals",
    policy: [
      slidingWindow({ name: "a", limit: 5, window: "10s" }),
      slidingLog({ name: "b", limit: 3, window: "10s" }),
      slidingLog({ name: "c", limit: 3, window: "20s" }),
    ],
    steps: [
      { at: 0, says: { ...allows(2, 10_000), policy: "b", limit: 3 } },
      { at: 10_000, says: { ...allows(1, 20_000), policy: "c", limit: 3 } },
    ],
  },
  {
    name: "remaining decides by thousandths, not by the whole units shown",
    policy: [
      fixedWindow({ name: "a", limit: 3.002, window: "10s" }),
      fixedWindow({ name: "b", limit: 3.001, window: "10s" }),
    ],
    steps: [{ at: 0, says: { ...allows(2), policy: "b" } }],
  },
  {
    name: "consumeUpTo grants the least whole units over all policies",
    policy: [burst, tokenBucket({ name: "slow", limit: 1, period: "1s", burst: 3.7 })],
    steps: [
      {
        at: 0,
        verb: "consumeUpTo",
        cost: 100,
        says: { ...allows(0, 3000), policy: "slow", granted: 3 },
      },
      { at: 0, verb: "consumeUpTo", cost: 2, says: { ...denies(300), granted: 0 } },
      { at: 300, verb: "consumeUpTo", cost: 2, says: { ...allows(0), granted: 1 } },
    ],
  },
  {
    name: "refund and penalize reach every policy",
    policy: [burst, daily],
    steps: [
      { at: 0, verb: "penalize", cost: 12, says: { ...denies(200, 0), policy: "burst" } },
      { at: 0, verb: "refund", cost: 5, says: { ...allows(3, 700), policy: "burst" } },
      { at: 10_000, says: { ...allows(7), policy: "daily" } },
    ],
  },
  {
    name: "a block holds for the key, whatever the policy",
    policy: [burst, daily],
    blockForMs: 5000,
    steps: [
      { at: 0, cost: 10, says: { allowed: true } },
      { at: 0, cost: 3, says: { ...denies(5000, 0), policy: "burst" } },
      { at: 4000, says: { ...blocks(1000, 10, 1000), policy: "burst" } },
      { at: 5000, says: { allowed: true, policy: "daily", remaining: 4 } },
      { at: 5000, cost: 20, says: { ...neverFits(9), policy: "burst" } },
    ],
  },
  {
    name: "a block replaces what was there, or leaves it where that lasts longer",
    policy: [burst, daily],
    steps: [
      { at: 0, verb: "block", durationMs: 5000 },
      { at: 0, verb: "block", durationMs: 2000, keepLonger: true },
      { at: 0, says: blocks(5000, 10, 5000) },
      { at: 1000, verb: "block", durationMs: 4000, keepLonger: true },
      { at: 1000, says: blocks(4000, 10, 4000) },
      { at: 1000, verb: "block", durationMs: 6000, keepLonger: true },
      { at: 1000, says: blocks(6000, 10, 6000) },
      { at: 1000, verb: "block", durationMs: 1000 },
      { at: 1000, says: blocks(1000, 10, 1000) },
      { at: 2000, says: { allowed: true } },
      { at: 2000, verb: "block", durationMs: 1, keepLonger: true },
      { at: 2000, says: { ...blocks(1, 9, 100) } },
    ],
  },
  {
    name: "a block for good holds until it is lifted, or the key forgotten",
    policy: [burst, daily],
    steps: [
      { at: 0, cost: 4, says: { allowed: true } },
      { at: 0, verb: "block", durationMs: Number.POSITIVE_INFINITY },
      { at: 0, says: { ...blocks(Number.POSITIVE_INFINITY, 6, Number.POSITIVE_INFINITY) } },
      { at: 3650 * DAY, says: blocks(Number.POSITIVE_INFINITY, 10, Number.POSITIVE_INFINITY) },
      { at: 3650 * DAY, verb: "block", durationMs: 5000, keepLonger: true },
      {
        at: 3650 * DAY,
        verb: "reserve",
        says: blocks(Number.POSITIVE_INFINITY, 10, Number.POSITIVE_INFINITY),
      },
      { at: 3650 * DAY, verb: "unblock" },
      { at: 3650 * DAY, says: allows(9) },
      { at: 3650 * DAY, verb: "block", durationMs: Number.POSITIVE_INFINITY },
      { at: 3650 * DAY, verb: "block", durationMs: 5000 },
      { at: 3650 * DAY, says: blocks(5000, 9, 5000) },
      { at: 3650 * DAY, verb: "block", durationMs: Number.POSITIVE_INFINITY, keepLonger: true },
      { at: 3650 * DAY, says: blocks(Number.POSITIVE_INFINITY, 9, Number.POSITIVE_INFINITY) },
      { at: 3650 * DAY, verb: "reset" },
      { at: 3650 * DAY, says: allows(9) },
    ],
  },
  {
    name: "a block forgets what is in use, if asked to",
    policy: [burst, daily],
    steps: [
      { at: 0, cost: 10, says: { allowed: true } },
      { at: 0, verb: "block", durationMs: 500, reset: true },
      { at: 0, says: blocks(500, 10, 500) },
      { at: 500, cost: 10, says: allows(0) },
      { at: 500, verb: "block", durationMs: 5000 },
      { at: 500, verb: "block", durationMs: 1000, keepLonger: true, reset: true },
      { at: 500, says: blocks(5000, 10, 5000) },
      { at: 5500, cost: 10, says: allows(0) },
    ],
  },
  {
    name: "policies of one key share the latest time any of them has seen",
    policy: [burst, daily],
    steps: [
      { at: 1000, cost: 10, says: { decidedAt: 1000 } },
      { at: 0, cost: 1, says: { ...denies(1100), decidedAt: 1000 } },
    ],
  },
  {
    name: "changed options are matched by name",
    policy: [burst, daily],
    steps: [
      { at: 0, cost: 10, says: { allowed: true } },
      {
        at: 0,
        cost: 5,
        policy: tokenBucket({ name: "burst", limit: 20, period: "1s" }),
        says: { ...allows(0), policy: "daily" },
      },
      {
        at: 0,
        policy: [fixedWindow({ name: "daily", limit: 99, window: "1d" })],
        says: { ...denies(600), policy: "burst" },
      },
    ],
  },
];

function verdict(
  allowed: boolean,
  reason: "ok" | "quota",
  remaining: number,
  retryAfterMs: number,
  resetAfterMs: number,
) {
  return { allowed, reason, remaining, retryAfterMs, resetAfterMs };
}

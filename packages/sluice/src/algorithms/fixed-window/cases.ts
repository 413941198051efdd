/** The fixed window's worked examples. */
import { tokenBucket } from "../token-bucket/policy.js";
import { type AlgorithmCase, allows, blocks, denies, neverFits } from "../case-table.js";
import { fixedWindow } from "./policy.js";

const name = "p";
const five = fixedWindow({ name, limit: 5, window: "10s" });
const first = fixedWindow({ name, limit: 5, window: "10s", align: "first" });

export const fixedWindowCases: readonly AlgorithmCase[] = [
  {
    name: "windows of the clock begin at multiples of their length since the epoch",
    policy: five,
    steps: [
      { at: 3000, cost: 5, says: allows(0, 7000) },
      { at: 3000, says: denies(7000, 0, 7000) },
      { at: 9999.999, says: denies(1) },
      { at: 10_000, says: allows(4, 10_000) },
      { at: 19_999, verb: "peek", cost: 5, says: denies(1, 4, 1) },
      { at: 20_000, verb: "peek", cost: 5, says: allows(5, 0) },
    ],
  },
  {
    name: "the first window of a length that does not divide the day is cut short by the clock",
    // 2030-01-01 is 2 s into a window of 7 s.
    policy: fixedWindow({ limit: 5, window: "7s" }),
    steps: [
      { at: 0, says: allows(4, 5000) },
      { at: 5000, says: allows(4, 7000) },
    ],
  },
  {
    name: "two windows meet: twice the limit within a moment",
    policy: five,
    steps: [
      { at: 9999, cost: 5, says: allows(0, 1) },
      { at: 10_000, cost: 5, says: allows(0, 10_000) },
      { at: 10_000, says: denies(10_000) },
    ],
  },
  {
    name: "a window can be opened by its first admitted hit",
    policy: first,
    steps: [
      { at: 1000, cost: 6, says: neverFits(5, 0) },
      { at: 2000, cost: 0, says: allows(5, 0) },
      { at: 3000, says: allows(4, 10_000) },
      { at: 8000, cost: 4, says: allows(0, 5000) },
      { at: 12_999.999, says: denies(1) },
      // That window has ended, and the next one waits for its own first hit.
      { at: 13_000, verb: "peek", says: allows(5, 0) },
      { at: 14_000, says: allows(4, 10_000) },
    ],
  },
  {
    name: "a refund of everything closes the window that the first hit opened",
    policy: first,
    steps: [
      { at: 3000, cost: 2, says: allows(3, 10_000) },
      { at: 4000, verb: "refund", cost: 2, says: allows(5, 0) },
      { at: 5000, says: allows(4, 10_000) },
    ],
  },
  {
    name: "a refund gives back to its window only, never above the limit",
    policy: five,
    steps: [
      { at: 0, cost: 5, says: allows(0) },
      { at: 0, verb: "refund", cost: 1.5, says: allows(1, 10_000) },
      { at: 0, verb: "refund", cost: 100, says: allows(5, 0) },
      { at: 10_000, verb: "refund", cost: 3, says: allows(5, 0) },
      { at: 10_000, cost: 5, says: allows(0) },
      { at: 10_000, says: denies(10_000) },
    ],
  },
  {
    name: "a penalty may go into debt, which the window's end forgives",
    policy: five,
    steps: [
      { at: 3000, verb: "penalize", cost: 12, says: denies(7000, 0, 7000) },
      { at: 3000, verb: "refund", cost: 8, says: allows(1, 7000) },
      { at: 3000, verb: "penalize", cost: 1e9, says: denies(7000, 0, 7000) },
      { at: 10_000, says: allows(4, 10_000) },
    ],
  },
  {
    name: "a penalty opens a window as a hit does",
    policy: first,
    steps: [
      { at: 3000, verb: "penalize", cost: 2, says: allows(3, 10_000) },
      { at: 13_000, verb: "peek", says: allows(5, 0) },
    ],
  },
  {
    name: "cost 0 asks, denied calls cost nothing, a cost above the limit never fits",
    policy: five,
    steps: [
      { at: 0, cost: 0, says: allows(5, 0) },
      { at: 0, cost: 3, says: allows(2, 10_000) },
      { at: 1000, cost: 3, says: denies(9000, 2, 9000) },
      { at: 1000, cost: 5.001, says: neverFits(2, 9000) },
      { at: 1000, cost: 2, says: allows(0, 9000) },
      { at: 1000, cost: 0, says: allows(0, 9000) },
    ],
  },
  {
    name: "fractional costs count in thousandths",
    policy: fixedWindow({ limit: 1, window: "1s" }),
    steps: [
      { at: 0, cost: 0.4, says: allows(0) },
      { at: 0, cost: 0.6, says: allows(0) },
      { at: 0, cost: 0.001, says: denies(1000) },
    ],
  },
  {
    name: "consumeUpTo grants the whole units that are left in the window",
    policy: fixedWindow({ limit: 5.5, window: "10s" }),
    steps: [
      { at: 0, cost: 2, says: allows(3) },
      { at: 0, verb: "consumeUpTo", cost: 9, says: { ...allows(0, 10_000), granted: 3 } },
      { at: 0, verb: "consumeUpTo", cost: 9, says: { ...denies(10_000), granted: 0 } },
    ],
  },
  {
    name: "a clock that goes back over a border stays in the window it has seen",
    policy: five,
    steps: [
      { at: 12_000, cost: 5, says: allows(0, 8000) },
      { at: 9000, says: { ...denies(11_000, 0, 11_000), decidedAt: 12_000 } },
      { at: 20_000, says: allows(4, 10_000) },
    ],
  },
  {
    name: "a block ends on its own time, not with the window",
    policy: five,
    steps: [
      { at: 9000, cost: 5, says: allows(0, 1000) },
      { at: 9000, verb: "block", durationMs: 5000 },
      { at: 9000, says: blocks(5000, 0, 5000) },
      { at: 10_000, says: blocks(4000, 5, 4000) },
      { at: 14_000, says: allows(4, 6000) },
    ],
  },
  {
    name: "changed options: another limit counts against the same window",
    policy: five,
    steps: [
      { at: 3000, cost: 5, says: allows(0) },
      { at: 3000, policy: fixedWindow({ name, limit: 8, window: "10s" }), says: allows(2, 7000) },
      { at: 3000, policy: fixedWindow({ name, limit: 2, window: "10s" }), says: denies(7000, 0) },
      { at: 3000, verb: "refund", cost: 1, says: allows(0, 7000) },
    ],
  },
  {
    name: "changed options: the stored window ends as stored when the length grows",
    policy: five,
    steps: [
      { at: 3000, cost: 5, says: allows(0, 7000) },
      {
        at: 4000,
        policy: fixedWindow({ name, limit: 5, window: "1m" }),
        says: denies(6000, 0, 6000),
      },
      {
        at: 10_000,
        policy: fixedWindow({ name, limit: 5, window: "1m" }),
        says: allows(4, 50_000),
      },
    ],
  },
  {
    name: "changed options: the stored window ends as stored when the length shrinks",
    policy: fixedWindow({ name, limit: 5, window: "1m" }),
    steps: [
      { at: 3000, cost: 5, says: allows(0, 57_000) },
      { at: 15_000, policy: five, says: denies(45_000, 0, 45_000) },
      { at: 60_000, policy: five, says: allows(4, 10_000) },
    ],
  },
  {
    name: "changed options: the stored window ends as stored when the alignment changes",
    policy: five,
    steps: [
      { at: 3000, cost: 4, says: allows(1, 7000) },
      { at: 9000, policy: first, says: allows(0, 1000) },
      { at: 10_500, policy: first, says: allows(4, 10_000) },
      { at: 20_499.999, cost: 5, says: denies(1, 4) },
      { at: 20_500, cost: 5, says: allows(0, 9500) },
    ],
  },
  {
    name: "changed options: another algorithm is another key",
    policy: five,
    steps: [
      { at: 0, cost: 5, says: allows(0) },
      { at: 0, policy: tokenBucket({ name, limit: 5, period: "10s" }), says: allows(4, 2000) },
      { at: 0, says: denies(10_000) },
    ],
  },
];

/** The sliding window's worked examples. */
import { type AlgorithmCase, allows, blocks, denies, neverFits } from "../case-table.js";
import { fixedWindow } from "../fixed-window/policy.js";
import { slidingWindow } from "./policy.js";

const name = "p";
const ten = slidingWindow({ name, limit: 10, window: "10s" });
const minute = slidingWindow({ name, limit: 10, window: "1m" });

export const slidingWindowCases: readonly AlgorithmCase[] = [
  {
    name: "of one call a window every second one is denied: the last one's has not faded before the end",
    policy: slidingWindow({ name, limit: 1, window: "10s" }),
    steps: [
      { at: 0, says: allows(0) },
      { at: 10_000, says: denies(10_000) },
      { at: 20_000, says: allows(0) },
      { at: 30_000, says: denies(10_000) },
      { at: 40_000, says: allows(0) },
    ],
  },
  {
    name: "the last window's count fades as the running one passes",
    policy: ten,
    steps: [
      { at: 5000, cost: 10, says: allows(0, 15_000) },
      // Nothing fades before 10 s; a tenth of it has at 11 s.
      { at: 5000, says: denies(6000, 0, 15_000) },
      { at: 10_999.999, says: denies(1) },
      { at: 11_000, says: allows(0, 19_000) },
      { at: 15_000, verb: "peek", cost: 4, says: allows(4, 15_000) },
      { at: 15_000, verb: "peek", cost: 5, says: denies(1000, 4) },
      { at: 20_000, verb: "peek", says: allows(9, 10_000) },
      { at: 30_000, verb: "peek", cost: 10, says: allows(10, 0) },
    ],
  },
  {
    name: "an interval of one window sees less than twice the limit",
    policy: ten,
    steps: [
      { at: 9000, cost: 10, says: allows(0) },
      { at: 18_900, cost: 8.9, says: allows(0) },
      { at: 18_900, cost: 0.001, says: denies(1) },
      { at: 19_000, cost: 0.1, says: allows(0) },
      { at: 19_000, cost: 0.001, says: denies(1) },
    ],
  },
  {
    name: "the faded count is rounded up to a thousandth",
    policy: slidingWindow({ limit: 3, window: "10s" }),
    steps: [
      { at: 0, cost: 3, says: allows(0, 20_000) },
      { at: 10_000.001, cost: 0.001, says: denies(4) },
      { at: 10_003.333, cost: 0.001, says: denies(1) },
      { at: 10_003.334, cost: 0.001, says: allows(0) },
      { at: 19_999.999, verb: "peek", cost: 3, says: denies(10_001, 2) },
    ],
  },
  {
    name: "the first window of a length that does not divide the day is cut short by the clock",
    policy: slidingWindow({ limit: 10, window: "7s" }),
    steps: [
      { at: 0, says: allows(9, 12_000) },
      { at: 5000, says: allows(8, 14_000) },
    ],
  },
  {
    name: "what a whole window passed without is forgotten",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0) },
      { at: 19_999.999, verb: "peek", cost: 10, says: denies(1, 9) },
      { at: 20_000, cost: 10, says: allows(0, 20_000) },
    ],
  },
  {
    name: "a cost that no fading of the running window admits waits for the next one",
    policy: ten,
    steps: [
      { at: 0, cost: 4, says: allows(6) },
      { at: 10_000, cost: 6, says: allows(0, 20_000) },
      // 6 of this window stay until 20 s; then 6·(1 − f) must leave room for 10.
      { at: 10_000, cost: 10, says: denies(20_000, 0, 20_000) },
      // The 4 of the last one must have gone.
      { at: 10_000, cost: 4, says: denies(10_000) },
      { at: 10_000, cost: 5, says: denies(11_667) },
      { at: 10_000, cost: 1, says: denies(2500) },
    ],
  },
  {
    name: "a cost above the limit never fits, cost 0 asks, denied calls cost nothing",
    policy: ten,
    steps: [
      { at: 0, cost: 11, says: neverFits(10, 0) },
      { at: 0, cost: 0, says: allows(10, 0) },
      { at: 0, cost: 8, says: allows(2, 20_000) },
      { at: 0, cost: 3, says: denies(11_250, 2, 20_000) },
      { at: 0, cost: 2, says: allows(0) },
    ],
  },
  {
    name: "a refund gives back the newest first, never above full",
    policy: ten,
    steps: [
      { at: 5000, cost: 10, says: allows(0) },
      { at: 15_000, cost: 3, says: allows(2, 15_000) },
      { at: 15_000, verb: "refund", cost: 4, says: allows(5, 5000) },
      { at: 15_000, verb: "refund", cost: 100, says: allows(10, 0) },
    ],
  },
  {
    name: "a penalty may go into debt, which fades as hits do",
    policy: ten,
    steps: [
      { at: 0, verb: "penalize", cost: 25, says: denies(16_000, 0, 20_000) },
      { at: 0, says: denies(16_400) },
      { at: 16_000, cost: 0, says: allows(0, 4000) },
      { at: 16_399.999, says: denies(1) },
      { at: 16_400, says: allows(0, 13_600) },
    ],
  },
  {
    name: "consumeUpTo grants the whole units there are",
    policy: ten,
    steps: [
      { at: 0, cost: 5, says: allows(5) },
      { at: 15_000, verb: "consumeUpTo", cost: 99, says: { ...allows(0), granted: 7 } },
      // 2.5 of the last window and 7 of this leave half a unit.
      { at: 15_000, verb: "consumeUpTo", cost: 99, says: { ...denies(1000), granted: 0 } },
    ],
  },
  {
    name: "a clock that goes back fades nothing back in",
    policy: ten,
    steps: [
      { at: 5000, cost: 10, says: allows(0) },
      { at: 15_000, cost: 5, says: { ...allows(0), decidedAt: 15_000 } },
      { at: 6000, cost: 1, says: { ...denies(10_000, 0, 24_000), decidedAt: 15_000 } },
      { at: 16_000, cost: 1, says: allows(0) },
    ],
  },
  {
    name: "a block denies until it ends",
    policy: ten,
    steps: [
      { at: 0, cost: 1, says: allows(9, 20_000) },
      { at: 0, verb: "block", durationMs: 25_000 },
      { at: 20_000, says: blocks(5000, 10, 5000) },
      { at: 25_000, says: allows(9) },
    ],
  },
  {
    name: "changed options: another limit counts against the same windows",
    policy: ten,
    steps: [
      { at: 5000, cost: 10, says: allows(0) },
      { at: 5000, policy: slidingWindow({ name, limit: 12, window: "10s" }), says: allows(1) },
      { at: 5000, policy: slidingWindow({ name, limit: 6, window: "10s" }), says: denies(10_455) },
    ],
  },
  {
    name: "changed options: the running window keeps its length, the next one has the new one",
    policy: ten,
    steps: [
      { at: 5000, cost: 10, says: allows(0, 15_000) },
      // Ten fade to nine in the first 6 s of the minute that begins at 10 s; kept until 35 s.
      { at: 6000, policy: minute, says: denies(10_000, 0, 29_000) },
      { at: 16_000, policy: minute, says: allows(0, 114_000) },
      { at: 40_000, policy: minute, verb: "peek", says: allows(4, 90_000) },
    ],
  },
  {
    name: "changed options: a shorter length begins where the running window ends",
    policy: minute,
    steps: [
      { at: 5000, cost: 10, says: allows(0, 115_000) },
      { at: 15_000, policy: ten, says: denies(46_000, 0, 55_000) },
      { at: 61_000, policy: ten, says: allows(0) },
      { at: 70_000, policy: ten, verb: "peek", cost: 9, says: allows(9, 10_000) },
    ],
  },
  {
    name: "changed options: another algorithm is another key",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0) },
      { at: 0, policy: fixedWindow({ name, limit: 10, window: "10s" }), says: allows(9, 10_000) },
    ],
  },
];

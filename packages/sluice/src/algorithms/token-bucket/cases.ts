/** The token bucket's worked examples. */
import { type AlgorithmCase, allows, denies, neverFits } from "../case-table.js";
import { tokenBucket } from "./policy.js";

const name = "p";
const ten = tokenBucket({ name, limit: 10, period: "1s" });
const thirds = tokenBucket({ name, limit: 3, period: "1s" });
const interval = tokenBucket({ name, limit: 5, period: "1s", burst: 10, refill: "interval" });

export const tokenBucketCases: readonly AlgorithmCase[] = [
  {
    name: "a fresh key has its whole burst and gets a unit back each period/limit",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0, 1000) },
      { at: 0, says: denies(100, 0, 1000) },
      { at: 99.999, says: denies(1) },
      { at: 100, says: allows(0, 1000) },
      { at: 600, cost: 2, says: allows(3, 700) },
      { at: 1300, verb: "peek", cost: 10, says: allows(10, 0) },
    ],
  },
  {
    name: "a rate that does not divide its period is exact to the microsecond",
    policy: thirds,
    steps: [
      { at: 0, cost: 3, says: allows(0, 1000) },
      { at: 0, says: denies(334) },
      { at: 333.333, says: denies(1) },
      { at: 333.334, says: allows(0, 1000) },
      { at: 666.666, says: denies(1) },
      { at: 666.667, says: allows(0, 1000) },
      { at: 1000, says: allows(0, 1000) },
      { at: 2000, cost: 3, says: allows(0, 1000) },
    ],
  },
  {
    name: "one unit in 31 days",
    policy: tokenBucket({ limit: 1, period: "31d" }),
    steps: [
      { at: 0, says: allows(0, 2_678_400_000) },
      { at: 2_678_399_999.999, says: denies(1) },
      { at: 2_678_400_000, says: allows(0, 2_678_400_000) },
    ],
  },
  {
    name: "a million units a second",
    policy: tokenBucket({ limit: 1e6, period: "1s" }),
    steps: [
      { at: 0, cost: 1e6, says: allows(0, 1000) },
      { at: 0.001, says: allows(0, 1000) },
      { at: 0.001, cost: 2000, says: denies(2) },
      { at: 2.001, cost: 2000, says: allows(0, 1000) },
    ],
  },
  {
    name: "fractional costs count in thousandths",
    policy: tokenBucket({ limit: 1, period: "1s" }),
    steps: [
      { at: 0, cost: 0.999, says: allows(0, 999) },
      { at: 0, cost: 0.001, says: allows(0, 1000) },
      { at: 0, cost: 0.001, says: denies(1) },
      { at: 1, cost: 0.001, says: allows(0, 1000) },
    ],
  },
  {
    name: "the burst, not the limit, is what a fresh key can take",
    policy: tokenBucket({ limit: 10, period: "1s", burst: 2 }),
    steps: [
      { at: 0, cost: 2, says: { ...allows(0, 200), limit: 2 } },
      { at: 100, says: allows(0, 200) },
    ],
  },
  {
    name: "a cost above the burst can never fit, and costs nothing",
    policy: ten,
    steps: [
      { at: 0, cost: 10.001, says: neverFits(10, 0) },
      { at: 0, cost: 4, says: allows(6) },
      { at: 0, verb: "peek", cost: 11, says: neverFits(6, 400) },
      { at: 0, cost: 1e9, says: neverFits(6, 400) },
    ],
  },
  {
    name: "cost 0 asks and never writes, not even the time",
    policy: ten,
    steps: [
      { at: 1000, cost: 0, says: { ...allows(10, 0), decidedAt: 1000 } },
      { at: 0, cost: 0, says: { ...allows(10, 0), decidedAt: 0 } },
      { at: 0, cost: 10, says: allows(0, 1000) },
      { at: 500, cost: 0, says: { ...allows(5, 500), decidedAt: 500 } },
      { at: 100, cost: 0, says: { ...allows(1, 900), decidedAt: 100 } },
    ],
  },
  {
    name: "denied calls cost nothing and do not put off the next unit",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0) },
      { at: 50, cost: 5, says: denies(450) },
      { at: 60, cost: 1, says: denies(40) },
      { at: 99, cost: 10, says: denies(901) },
      { at: 100, says: allows(0, 1000) },
    ],
  },
  {
    name: "a denial tells what remains, not 0",
    policy: ten,
    steps: [
      { at: 0, cost: 6.5, says: allows(3, 650) },
      { at: 0, cost: 5, says: denies(150, 3, 650) },
    ],
  },
  {
    name: "interval refill gives the whole limit at the end of each period",
    policy: interval,
    steps: [
      { at: 0, cost: 10, says: allows(0, 2000) },
      { at: 999.999, says: denies(1, 0, 1001) },
      { at: 1000, cost: 5, says: allows(0, 2000) },
      { at: 1500, cost: 6, says: denies(1500, 0, 1500) },
      { at: 2500, cost: 1, says: allows(4, 1500) },
    ],
  },
  {
    name: "interval refill counts periods from the hit that found the bucket full",
    policy: interval,
    steps: [
      { at: 300, says: allows(9, 1000) },
      { at: 1299.999, verb: "peek", cost: 10, says: denies(1, 9, 1) },
      // Full again, so that the anchor is dropped and the next hit sets its own.
      { at: 1700, says: allows(9, 1000) },
      { at: 2699.999, verb: "peek", cost: 10, says: denies(1, 9) },
      { at: 2700, verb: "peek", cost: 10, says: allows(10, 0) },
    ],
  },
  {
    name: "interval refill keeps its anchor while the bucket is not full",
    policy: interval,
    steps: [
      { at: 0, cost: 7, says: allows(3, 2000) },
      { at: 1500, cost: 1, says: allows(7, 500) },
      { at: 2000, verb: "peek", cost: 10, says: allows(10, 0) },
    ],
  },
  {
    name: "interval refill drops its anchor when a refund fills the bucket",
    policy: interval,
    steps: [
      { at: 0, says: allows(9, 1000) },
      { at: 400, verb: "refund", cost: 1, says: allows(10, 0) },
      { at: 500, says: allows(9, 1000) },
    ],
  },
  {
    name: "interval refill pays a debt a limit at a time",
    policy: interval,
    steps: [
      { at: 0, verb: "penalize", cost: 12, says: denies(1000, 0, 3000) },
      { at: 1000, cost: 0, says: allows(3, 2000) },
      { at: 1000, cost: 5, says: denies(1000, 3, 2000) },
    ],
  },
];

/** Worked examples of waiting in line. */
import { type AlgorithmCase, allows, denies, neverFits } from "../case-table.js";
import { gcra } from "../gcra/policy.js";
import { leakyBucket } from "../leaky-bucket/policy.js";
import { tokenBucket } from "../token-bucket/policy.js";

const ten = tokenBucket({ limit: 10, period: "1s" });
const interval = tokenBucket({ limit: 5, period: "1s", burst: 10, refill: "interval" });

export const reservationCases: readonly AlgorithmCase[] = [
  {
    name: "reserve promises the first moment at which the cost fits",
    policy: ten,
    steps: [
      { at: 0, verb: "reserve", cost: 10, says: { ...allows(0, 1000), readyAt: 0 } },
      { at: 0, verb: "reserve", says: { ...allows(0, 1100), readyAt: 100 } },
      { at: 50, verb: "reserve", cost: 2.5, says: { allowed: true, readyAt: 350 } },
      { at: 50, verb: "reserve", maxWaitMs: 399.999, says: denies(400, 0, 1300) },
      { at: 50, verb: "reserve", maxWaitMs: 400, says: { allowed: true, readyAt: 450 } },
      { at: 50, verb: "reserve", cost: 10.001, says: neverFits(0) },
      { at: 450, says: denies(100) },
      { at: 550, says: allows(0) },
    ],
  },
  {
    name: "starts are whole µs, and the schedule goes on from them",
    policy: gcra({ limit: 3, period: "1s" }),
    steps: [
      { at: 0, verb: "reserve", says: { readyAt: 0 } },
      { at: 0, verb: "reserve", says: { readyAt: 333.334 } },
      { at: 0, verb: "reserve", says: { readyAt: 666.668 } },
    ],
  },
  {
    name: "a refund gives back what lies behind the last promised start",
    policy: ten,
    steps: [
      { at: 0, cost: 10 },
      { at: 0, verb: "reserve", says: { readyAt: 100 } },
      // 10 are in use at that start, of which 1 is its own.
      { at: 50, verb: "refund", cost: 15, says: { remaining: 8, resetAfterMs: 150 } },
      { at: 50, verb: "refund", cost: 1, says: { remaining: 8, resetAfterMs: 150 } },
      { at: 50, cost: 8, says: { allowed: true, remaining: 0 } },
    ],
  },
  {
    name: "a refund gives nothing back where all that is in use at the last start is promised",
    policy: tokenBucket({ limit: 1, period: "1s" }),
    steps: [
      { at: 0, verb: "reserve", says: { readyAt: 0 } },
      { at: 0, verb: "reserve", says: { readyAt: 1000 } },
      { at: 0, verb: "refund", cost: 1, says: { remaining: 0, resetAfterMs: 2000 } },
    ],
  },
  {
    name: "a leaky bucket is a queue to those who reserve",
    policy: leakyBucket({ limit: 2, period: "1s", capacity: 3 }),
    steps: [
      { at: 0, verb: "reserve", says: { readyAt: 0 } },
      { at: 0, verb: "reserve", cost: 0.5, says: { readyAt: 500 } },
      { at: 0, verb: "reserve", cost: 1.5, maxWaitMs: 749, says: denies(750, 1) },
      { at: 0, verb: "reserve", cost: 1.5, says: { readyAt: 750 } },
      { at: 0, verb: "reserve", says: denies(500) },
      { at: 500, verb: "reserve", says: { readyAt: 1500 } },
    ],
  },
  {
    name: "refills by interval promise the start of the refill that brings the units",
    policy: interval,
    steps: [
      { at: 0, verb: "reserve", cost: 10, says: { ...allows(0), readyAt: 0 } },
      { at: 0, verb: "reserve", says: { ...allows(0, 3000), readyAt: 1000 } },
      { at: 300, verb: "reserve", cost: 4, says: { readyAt: 1000 } },
      { at: 300, verb: "reserve", maxWaitMs: 1699.999, says: denies(1700, 0, 2700) },
      { at: 300, verb: "reserve", maxWaitMs: 1700, says: { readyAt: 2000 } },
      { at: 300, verb: "reserve", cost: 10.001, says: neverFits(0) },
      { at: 1999, says: denies(1) },
      { at: 2000, cost: 4, says: allows(0) },
    ],
  },
  {
    name: "one unit each half second by interval: six at once start half a second apart",
    policy: tokenBucket({ limit: 1, period: "500ms", refill: "interval" }),
    steps: [
      { at: 0, verb: "reserve", says: { readyAt: 0 } },
      { at: 0, verb: "reserve", says: { readyAt: 500 } },
      { at: 0, verb: "reserve", says: { readyAt: 1000 } },
      { at: 0, verb: "reserve", maxWaitMs: 1000, says: denies(1500) },
      { at: 0, verb: "reserve", says: { readyAt: 1500 } },
      { at: 0, verb: "reserve", says: { readyAt: 2000 } },
      { at: 0, verb: "reserve", says: { readyAt: 2500 } },
    ],
  },
  {
    name: "a refill by interval that brings more than the bucket holds lets no more start at once",
    policy: tokenBucket({ limit: 10, period: "1s", burst: 2, refill: "interval" }),
    steps: [
      { at: 0, cost: 1 },
      { at: 0, verb: "reserve", cost: 2, says: { readyAt: 1000 } },
      { at: 0, verb: "reserve", says: { readyAt: 2000 } },
      { at: 1000, says: denies(1000) },
      { at: 2000, says: allows(0) },
    ],
  },
  {
    name: "nothing comes back of a line that was reset, though the next opened at the same moment",
    policy: ten,
    steps: [
      { at: 0, verb: "reserve", cost: 1, says: { readyAt: 0 } },
      { at: 0, verb: "reserve", cost: 9.9, says: { readyAt: 90 } },
      { at: 0, verb: "reset" },
      { at: 0, verb: "reserve", cost: 10, says: { readyAt: 0 } },
      { at: 0, verb: "reserve", cost: 10, says: { readyAt: 1000 } },
      { at: 0, verb: "cancel", back: 2, says: { cancelled: false } },
      { at: 0, verb: "cancel", back: 3, says: { cancelled: false } },
      { at: 0, verb: "peek", says: denies(1100, 0, 2000) },
      // Those of the new line give back as usual.
      { at: 0, verb: "cancel", says: { cancelled: true } },
      { at: 0, verb: "cancel", back: 1, says: { cancelled: true } },
      { at: 0, verb: "peek", says: allows(10, 1) },
    ],
  },
  {
    name: "nor of one that a block forgot, or of the second that was reset at one moment, a µs later",
    policy: ten,
    steps: [
      { at: 0, cost: 10 },
      { at: 0, verb: "reserve", cost: 5, says: { readyAt: 500 } },
      { at: 0, verb: "block", durationMs: 10, reset: true },
      { at: 0, verb: "unblock" },
      { at: 0, cost: 10, says: allows(0) },
      { at: 0, verb: "reserve", cost: 5, says: { readyAt: 500 } },
      { at: 0, verb: "reset" },
      { at: 0.001, cost: 10, says: allows(0) },
      { at: 0.001, verb: "reserve", cost: 5, says: { allowed: true } },
      { at: 0.001, verb: "cancel", back: 1, says: { cancelled: false } },
      { at: 0.001, verb: "cancel", back: 2, says: { cancelled: false } },
      { at: 0.003, verb: "cancel", says: { cancelled: true } },
    ],
  },
  {
    name: "who is let in at once after a reset gives back, and is given back to, as if there had been no line",
    policy: ten,
    steps: [
      { at: 0, cost: 10 },
      { at: 0, verb: "reserve", cost: 5, says: { readyAt: 500 } },
      { at: 0, verb: "reset" },
      { at: 0, cost: 8 },
      { at: 0, verb: "refund", cost: 8, says: { remaining: 10 } },
      { at: 0, cost: 5 },
      { at: 0, verb: "reserve", cost: 5, says: { readyAt: 0 } },
      { at: 0, verb: "cancel", says: { cancelled: true } },
      { at: 0, verb: "peek", cost: 0, says: allows(5) },
    ],
  },
  {
    name: "the first in line after a reset takes the fraction of its start with it when it leaves",
    policy: tokenBucket({ limit: 1e6, period: "1s", burst: 1 }),
    steps: [
      { at: 0, cost: 1 },
      { at: 0, verb: "reserve", cost: 0.5, says: { readyAt: 0.001 } },
      { at: 0, verb: "reset" },
      { at: 0, cost: 1 },
      { at: 0, verb: "reserve", cost: 0.5, says: { readyAt: 0.001 } },
      { at: 0, verb: "cancel", says: { cancelled: true } },
      { at: 0.001, cost: 1, says: { allowed: true } },
    ],
  },
  {
    name: "nothing comes back of a start at once that a reset forgot, where the clock is behind it",
    policy: ten,
    steps: [
      { at: 10, cost: 1 },
      { at: 5, verb: "reserve", cost: 5, says: { readyAt: 10 } },
      { at: 5, verb: "reset" },
      { at: 5, cost: 10, says: allows(0) },
      { at: 5, verb: "cancel", says: { cancelled: false } },
    ],
  },
];

/** The bucket's worked examples. */
import { type AlgorithmCase, allows, blocks, denies, neverFits } from "../case-table.js";
import { fixedWindow } from "../fixed-window/policy.js";
import { gcra } from "../gcra/policy.js";
import { leakyBucket } from "../leaky-bucket/policy.js";
import { tokenBucket } from "../token-bucket/policy.js";

const name = "p";
const ten = tokenBucket({ name, limit: 10, period: "1s" });
const thirds = tokenBucket({ name, limit: 3, period: "1s" });
const fiveAtOnce = { name, limit: 5, period: "1s", burst: 10, refill: "interval" } as const;
const interval = tokenBucket(fiveAtOnce);
const continuous = tokenBucket({ ...fiveAtOnce, refill: "continuous" });

export const bucketCases: readonly AlgorithmCase[] = [
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
    name: "a refund gives back, never above full",
    policy: ten,
    steps: [
      { at: 0, cost: 4, says: allows(6, 400) },
      { at: 0, verb: "refund", cost: 1, says: allows(7, 300) },
      { at: 0, verb: "refund", cost: 100, says: allows(10, 0) },
      { at: 0, verb: "refund", cost: 1, says: allows(10, 0) },
      { at: 0, cost: 11, says: neverFits(10) },
      { at: 0, cost: 10, says: allows(0) },
      { at: 0, verb: "refund", cost: 0, says: allows(0, 1000) },
    ],
  },
  {
    name: "a penalty may go into debt, which must drain before anything is admitted",
    policy: ten,
    steps: [
      { at: 0, verb: "penalize", cost: 25, says: denies(1500, 0, 2500) },
      { at: 0, says: denies(1600, 0, 2500) },
      { at: 1499.999, cost: 0, says: denies(1, 0, 1001) },
      { at: 1500, cost: 0, says: allows(0, 1000) },
      { at: 1500, says: denies(100) },
      { at: 1600, says: allows(0, 1000) },
    ],
  },
  {
    name: "a debt saturates at what drains in a hundred years",
    policy: tokenBucket({ limit: 1, period: "366d" }),
    steps: [
      // 36,525 of 366 days are 99.795 units and a bit.
      { at: 0, verb: "penalize", cost: 1000, says: { resetAfterMs: 3_155_757_408_000 } },
      { at: 0, verb: "penalize", cost: 1000, says: { resetAfterMs: 3_155_757_408_000 } },
      { at: 0, verb: "refund", cost: 98.795, says: allows(0, 31_622_400_000) },
    ],
  },
  {
    name: "quota does not come back because the clock went back",
    policy: ten,
    steps: [
      { at: 1000, cost: 10, says: { ...allows(0, 1000), decidedAt: 1000 } },
      { at: 0, says: { ...denies(1100, 0, 2000), decidedAt: 1000 } },
      { at: 1099.999, says: denies(1) },
      { at: 1100, says: { ...allows(0, 1000), decidedAt: 1100 } },
      { at: 600, verb: "refund", cost: 2, says: { ...allows(2, 1300), decidedAt: 1100 } },
      { at: 700, cost: 2, says: { ...allows(0, 1400), decidedAt: 1100 } },
    ],
  },
  {
    name: "a block denies until it ends, whatever is left, and charges nothing",
    policy: ten,
    steps: [
      { at: 0, verb: "block", durationMs: 5000 },
      { at: 0, says: blocks(5000, 10, 5000) },
      { at: 0, cost: 0, says: blocks(5000, 10, 5000) },
      { at: 0, cost: 11, says: neverFits(10, 5000) },
      { at: 4999.999, verb: "peek", says: blocks(1, 10, 1) },
      { at: 5000, says: allows(9, 100) },
    ],
  },
  {
    name: "a new block takes the place of the old one, and unblock lifts it",
    policy: ten,
    steps: [
      { at: 0, verb: "block", durationMs: 60_000 },
      { at: 0, verb: "block", durationMs: 1000 },
      { at: 0, says: blocks(1000, 10, 1000) },
      { at: 0, verb: "unblock" },
      { at: 0, cost: 4, says: allows(6, 400) },
      { at: 0, verb: "unblock" },
      { at: 0, says: allows(5, 500) },
    ],
  },
  {
    name: "who is blocked and out of quota waits for the later of the two",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0) },
      { at: 0, verb: "block", durationMs: 50 },
      { at: 0, says: blocks(100, 0, 1000) },
      { at: 50, says: denies(50, 0, 950) },
      { at: 50, verb: "block", durationMs: 2000 },
      { at: 60, says: blocks(1990, 0, 1990) },
    ],
  },
  {
    name: "a block counts on the raw clock, even one that went back",
    policy: ten,
    steps: [
      { at: 1000, cost: 10, says: allows(0) },
      { at: 0, verb: "block", durationMs: 500 },
      { at: 0, says: { ...blocks(1100, 0, 2000), decidedAt: 1000 } },
      { at: 500, says: denies(600) },
    ],
  },
  {
    name: "a key that only a block keeps alive does not forget how far the clock had come",
    policy: gcra({ name, limit: 1, period: "1m" }),
    steps: [
      { at: 0, says: allows(0, 60_000) },
      { at: 60_000, verb: "block", durationMs: 1000 },
      { at: 10_000, verb: "block", durationMs: 1000 },
      // Long past the block, and before the minute is over that the first call has to keep.
      { at: 59_999, says: { ...allows(0, 60_001), decidedAt: 60_000 } },
      { at: 60_000, says: denies(60_000) },
    ],
  },
  {
    name: "reset forgets use, debt and block",
    policy: ten,
    steps: [
      { at: 0, verb: "penalize", cost: 100, says: { allowed: false } },
      { at: 0, verb: "block", durationMs: 60_000 },
      { at: 0, verb: "reset" },
      { at: 0, cost: 10, says: allows(0, 1000) },
    ],
  },
  {
    name: "blockFor blocks after a denial for lack of quota, once, not for a cost that never fits",
    policy: ten,
    blockForMs: 5000,
    steps: [
      { at: 0, cost: 11, says: neverFits(10, 0) },
      { at: 0, cost: 10, says: allows(0) },
      { at: 0, verb: "peek", says: denies(100, 0, 1000) },
      { at: 0, says: denies(5000, 0, 5000) },
      { at: 1000, says: blocks(4000, 10, 4000) },
      { at: 4999.999, says: blocks(1, 10, 1) },
      { at: 5000, says: allows(9, 100) },
    ],
  },
  {
    name: "consumeUpTo grants the whole units there are, and at least one",
    policy: ten,
    steps: [
      { at: 0, verb: "consumeUpTo", cost: 4, says: { ...allows(6, 400), granted: 4 } },
      { at: 0, verb: "consumeUpTo", cost: 25, says: { ...allows(0, 1000), granted: 6 } },
      { at: 150, verb: "consumeUpTo", cost: 25, says: { ...allows(0, 950), granted: 1 } },
      { at: 150, verb: "consumeUpTo", cost: 25, says: { ...denies(50), granted: 0 } },
      { at: 200, verb: "consumeUpTo", cost: 1e9, says: { ...allows(0, 1000), granted: 1 } },
    ],
  },
  {
    name: "consumeUpTo leaves the fraction of a burst that is none of whole units",
    policy: tokenBucket({ limit: 10, period: "1s", burst: 2.5 }),
    steps: [
      { at: 0, verb: "consumeUpTo", cost: 5, says: { ...allows(0, 200), granted: 2 } },
      { at: 0, cost: 0.5, says: allows(0, 250) },
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
  {
    name: "a leaky bucket refuses what would overflow",
    policy: leakyBucket({ limit: 2, period: "1s", capacity: 5 }),
    steps: [
      { at: 0, cost: 4, says: allows(1, 2000) },
      { at: 0, cost: 2, says: denies(500, 1, 2000) },
      { at: 500, cost: 2, says: allows(0, 2500) },
      { at: 500, cost: 6, says: neverFits(0) },
    ],
  },
  {
    name: "changed options: a larger burst adds available to what is in use",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0) },
      { at: 0, policy: tokenBucket({ name, limit: 10, period: "1s", burst: 15 }), says: allows(4) },
      { at: 0, says: denies(200, 0, 1100) },
    ],
  },
  {
    name: "changed options: a smaller burst leaves what is in use above it as a debt",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0) },
      {
        at: 0,
        policy: tokenBucket({ name, limit: 10, period: "1s", burst: 4 }),
        says: { ...denies(700, 0, 1000), limit: 4 },
      },
    ],
  },
  {
    name: "changed options: a changed limit drains what is in use at the new rate",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0) },
      {
        at: 200,
        policy: tokenBucket({ name, limit: 20, period: "1s", burst: 10 }),
        says: allows(3, 350),
      },
      { at: 200, says: allows(2, 800) },
    ],
  },
  {
    name: "changed options: time counts at the options of the call that reads it",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0) },
      // 5 units a second for the half second since, 2.5 units; and one is taken.
      { at: 500, policy: tokenBucket({ name, limit: 10, period: "2s" }), says: allows(1, 1700) },
      { at: 500, verb: "peek", says: allows(1, 850) },
      // The half second is accounted for: it does not count again at the old rate.
      { at: 600, verb: "peek", says: allows(2, 750) },
    ],
  },
  {
    name: "changed options: a fraction of a thousandth counts as a whole one, against the caller",
    policy: thirds,
    steps: [
      { at: 0, cost: 3, says: allows(0) },
      // 3000.997 thousandths are in use now.
      { at: 0.001, verb: "penalize", cost: 0.001, says: denies(1, 0, 1001) },
      {
        at: 0.001,
        verb: "peek",
        cost: 0,
        policy: tokenBucket({ name, limit: 3, period: 777 }),
        // A thousandth a 259 µs, 3001 of them.
        says: denies(1, 0, 778),
      },
    ],
  },
  {
    name: "changed options: from continuous refill to interval",
    policy: continuous,
    steps: [
      { at: 0, cost: 10, says: allows(0, 2000) },
      { at: 500, policy: interval, says: denies(500, 0, 1500) },
      { at: 1000, policy: interval, cost: 5, says: allows(0, 2000) },
    ],
  },
  {
    name: "changed options: from interval refill to continuous",
    policy: interval,
    steps: [
      { at: 0, cost: 10, says: allows(0, 2000) },
      { at: 500, policy: continuous, says: allows(1, 1700) },
      { at: 500, verb: "peek", cost: 2, says: denies(1000, 1, 2000) },
    ],
  },
  {
    name: "changed options: a slower rate does not outlast the life that the last change gave the key",
    policy: ten,
    steps: [
      // Full in 1 s, so kept for 2 s.
      { at: 0, cost: 10, says: allows(0, 1000) },
      {
        at: 500,
        policy: tokenBucket({ name, limit: 1, period: "1m", burst: 10 }),
        says: denies(1500, 0, 1500),
      },
      {
        at: 1999.999,
        policy: tokenBucket({ name, limit: 1, period: "1m", burst: 10 }),
        says: denies(1, 0, 1),
      },
      {
        at: 2000,
        policy: tokenBucket({ name, limit: 1, period: "1m", burst: 10 }),
        says: allows(9, 60_000),
      },
    ],
  },
  {
    name: "changed options: gcra and leaky bucket are the same bucket under the same name",
    policy: ten,
    steps: [
      { at: 0, cost: 4, says: allows(6) },
      { at: 0, policy: gcra({ name, limit: 10, period: "1s", burst: 10 }), says: allows(5) },
      {
        at: 0,
        policy: leakyBucket({ name, limit: 10, period: "1s", capacity: 10 }),
        says: allows(4),
      },
    ],
  },
  {
    name: "changed options: another algorithm is another key",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0) },
      { at: 0, policy: fixedWindow({ name, limit: 10, window: "1m" }), says: allows(9, 60_000) },
      { at: 0, says: denies(100) },
    ],
  },
];

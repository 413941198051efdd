/** Worked examples of what the verbs other than consume do to a bucket, and of a clock that goes back. */
import { type AlgorithmCase, allows, blocks, denies, neverFits } from "../case-table.js";
import { gcra } from "../gcra/policy.js";
import { tokenBucket } from "../token-bucket/policy.js";

const name = "p";
const ten = tokenBucket({ name, limit: 10, period: "1s" });

export const bucketVerbCases: readonly AlgorithmCase[] = [
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
];

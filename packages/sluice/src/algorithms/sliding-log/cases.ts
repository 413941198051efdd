/** The sliding log's worked examples. */
import { tokenBucket } from "../token-bucket/policy.js";
import { type AlgorithmCase, allows, blocks, denies, neverFits } from "../case-table.js";
import { slidingLog } from "./policy.js";

const name = "p";
const five = slidingLog({ name, limit: 5, window: "10s" });
const six = slidingLog({ name, limit: 6, window: "10s" });
const sixAMinute = slidingLog({ name, limit: 6, window: "1m" });

export const slidingLogCases: readonly AlgorithmCase[] = [
  {
    name: "every hit counts for exactly one window from its own time",
    policy: five,
    steps: [
      { at: 0, cost: 2, says: allows(3, 10_000) },
      { at: 3000, cost: 2, says: allows(1, 10_000) },
      { at: 4000, cost: 1, says: allows(0, 10_000) },
      { at: 5000, cost: 1, says: denies(5000, 0, 9000) },
      { at: 5000, cost: 2, says: denies(5000) },
      { at: 5000, cost: 3, says: denies(8000) },
      { at: 5000, cost: 5, says: denies(9000) },
      { at: 9999.999, cost: 1, says: denies(1) },
      { at: 10_000, cost: 2, says: allows(0, 10_000) },
      { at: 13_000, cost: 1, says: allows(1, 10_000) },
      { at: 23_000, verb: "peek", cost: 5, says: allows(5, 0) },
    ],
  },
  {
    name: "hits of one microsecond leave together",
    policy: five,
    steps: [
      { at: 0, says: allows(4) },
      { at: 0, says: allows(3) },
      { at: 0, cost: 3, says: allows(0) },
      { at: 1, cost: 5, says: denies(9999) },
      { at: 10_000, cost: 5, says: allows(0) },
    ],
  },
  {
    name: "a cost above the limit never fits, cost 0 asks, denied calls cost nothing",
    policy: five,
    steps: [
      { at: 0, cost: 6, says: neverFits(5, 0) },
      { at: 0, cost: 0, says: allows(5, 0) },
      { at: 0, cost: 3, says: allows(2, 10_000) },
      { at: 1000, cost: 3, says: denies(9000, 2, 9000) },
      { at: 1000, cost: 6, says: neverFits(2, 9000) },
      { at: 2000, cost: 2, says: allows(0) },
      { at: 2000, cost: 0, says: allows(0) },
    ],
  },
  {
    name: "fractional costs count in thousandths",
    policy: slidingLog({ limit: 1, window: "10s" }),
    steps: [
      { at: 0, cost: 0.999, says: allows(0) },
      { at: 1, cost: 0.002, says: denies(9999) },
      { at: 1, cost: 0.001, says: allows(0) },
      { at: 10_000, cost: 0.999, says: allows(0, 10_000) },
      { at: 10_000, cost: 0.001, says: denies(1) },
    ],
  },
  {
    name: "a refund gives back the oldest first, never above full",
    policy: five,
    steps: [
      { at: 0, cost: 3, says: allows(2) },
      { at: 4000, cost: 2, says: allows(0, 10_000) },
      { at: 5000, verb: "refund", cost: 2, says: allows(2, 9000) },
      // What is left of the first hit leaves at 10 s, the second at 14 s.
      { at: 5000, cost: 3, says: denies(5000, 2) },
      { at: 5000, cost: 4, says: denies(9000, 2) },
      { at: 10_000, cost: 3, says: allows(0) },
      { at: 10_000, verb: "refund", cost: 100, says: allows(5, 0) },
    ],
  },
  {
    name: "what was refunded of a young hit is not counted again when an older one leaves",
    policy: five,
    steps: [
      { at: 0, cost: 1, says: allows(4) },
      { at: 4000, cost: 4, says: allows(0) },
      { at: 5000, verb: "refund", cost: 3, says: allows(3, 9000) },
      { at: 10_000, verb: "peek", cost: 4, says: denies(4000, 3, 4000) },
      { at: 10_000, cost: 3, says: allows(0) },
    ],
  },
  {
    name: "what was refunded does not leave a second time",
    policy: five,
    steps: [
      { at: 0, cost: 5, says: allows(0) },
      { at: 1000, verb: "refund", cost: 4, says: allows(4) },
      { at: 2000, cost: 4, says: allows(0) },
      { at: 10_000, cost: 2, says: denies(2000, 1) },
      { at: 10_000, cost: 1, says: allows(0) },
      { at: 12_000, cost: 4, says: allows(0) },
    ],
  },
  {
    name: "a penalty may go into debt, which leaves with its own window",
    policy: five,
    steps: [
      { at: 0, cost: 2, says: allows(3) },
      { at: 1000, verb: "penalize", cost: 9, says: denies(10_000, 0, 10_000) },
      { at: 10_000, says: denies(1000) },
      { at: 11_000, cost: 5, says: allows(0) },
    ],
  },
  {
    name: "a debt saturates at a thousand million units",
    policy: five,
    steps: [
      { at: 0, verb: "penalize", cost: 1e9, says: denies(10_000) },
      { at: 0, verb: "penalize", cost: 1e9, says: denies(10_000) },
      { at: 0, verb: "refund", cost: 1e9, says: denies(10_000) },
      { at: 0, verb: "refund", cost: 99_511_626.776, says: allows(4, 10_000) },
    ],
  },
  {
    name: "consumeUpTo grants the whole units there are",
    policy: slidingLog({ limit: 5.5, window: "10s" }),
    steps: [
      { at: 0, cost: 2, says: allows(3) },
      { at: 1000, verb: "consumeUpTo", cost: 99, says: { ...allows(0), granted: 3 } },
      { at: 2000, verb: "consumeUpTo", cost: 99, says: { ...denies(8000), granted: 0 } },
      { at: 10_000, verb: "consumeUpTo", cost: 99, says: { ...allows(0), granted: 2 } },
    ],
  },
  {
    name: "a clock that goes back brings no hit back and no quota",
    policy: five,
    steps: [
      { at: 5000, cost: 5, says: { ...allows(0), decidedAt: 5000 } },
      { at: 0, says: { ...denies(15_000, 0, 15_000), decidedAt: 5000 } },
      { at: 0, verb: "refund", cost: 2, says: { ...allows(2, 15_000), decidedAt: 5000 } },
      { at: 1000, cost: 2, says: { ...allows(0, 14_000), decidedAt: 5000 } },
      { at: 15_000, cost: 5, says: allows(0) },
    ],
  },
  {
    name: "a block denies until it ends",
    policy: five,
    steps: [
      { at: 0, cost: 5, says: allows(0) },
      { at: 0, verb: "block", durationMs: 12_000 },
      { at: 5000, says: blocks(7000, 0, 7000) },
      { at: 12_000, says: allows(4) },
    ],
  },
  {
    name: "changed options: another limit counts against the same hits",
    policy: five,
    steps: [
      { at: 0, cost: 2, says: allows(3) },
      { at: 1000, cost: 3, says: allows(0) },
      { at: 2000, policy: six, says: allows(0) },
      { at: 2000, policy: slidingLog({ name, limit: 4, window: "10s" }), says: denies(9000) },
    ],
  },
  {
    name: "changed options: the longest window that admitted a hit rules until it passes",
    policy: six,
    steps: [
      { at: 0, policy: sixAMinute, cost: 5, says: allows(1, 60_000) },
      { at: 1000, says: allows(0, 59_000) },
      { at: 11_000, says: denies(49_000, 0, 49_000) },
      { at: 59_999.999, says: denies(1) },
      // From here on the short window rules, and all those hits are older.
      { at: 60_000, cost: 6, says: allows(0, 10_000) },
      { at: 70_000, cost: 6, says: allows(0, 10_000) },
    ],
  },
  {
    name: "changed options: when the long window has passed, the short one counts what is young enough",
    policy: six,
    steps: [
      { at: 0, policy: sixAMinute, cost: 4, says: allows(2) },
      { at: 55_000, cost: 2, says: allows(0, 10_000) },
      { at: 55_000, cost: 4, says: denies(5000) },
      { at: 55_000, cost: 5, says: denies(10_000) },
      { at: 60_000, cost: 4, says: allows(0) },
      { at: 65_000, cost: 2, says: allows(0) },
    ],
  },
  {
    name: "changed options: a longer window counts the hits that are still stored",
    policy: six,
    steps: [
      { at: 0, cost: 5, says: allows(1, 10_000) },
      { at: 5000, policy: sixAMinute, says: allows(0, 60_000) },
      { at: 12_000, says: denies(48_000, 0, 53_000) },
      { at: 60_000, cost: 5, says: allows(0) },
    ],
  },
  {
    name: "changed options: what has left the shorter window does not come back with a longer one",
    policy: six,
    steps: [
      { at: 0, cost: 3, says: allows(3, 10_000) },
      { at: 8000, cost: 2, says: allows(1, 10_000) },
      // A call that writes drops the three that have left.
      { at: 12_000, says: allows(3, 10_000) },
      { at: 13_000, policy: sixAMinute, says: allows(2, 60_000) },
      { at: 13_000, policy: sixAMinute, cost: 3, says: denies(55_000, 2) },
    ],
  },
  {
    name: "changed options: another algorithm is another key",
    policy: five,
    steps: [
      { at: 0, cost: 5, says: allows(0) },
      { at: 0, policy: tokenBucket({ name, limit: 5, period: "10s" }), says: allows(4) },
    ],
  },
];

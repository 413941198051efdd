/** Worked examples of a bucket whose options change from call to call. */
import { type AlgorithmCase, allows, denies } from "../case-table.js";
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

export const changedOptionsCases: readonly AlgorithmCase[] = [
  {
    name: "a larger burst leaves room above what is in use",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0) },
      { at: 0, policy: tokenBucket({ name, limit: 10, period: "1s", burst: 15 }), says: allows(4) },
      { at: 0, says: denies(200, 0, 1100) },
    ],
  },
  {
    name: "a smaller burst leaves what is in use above it as a debt",
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
    name: "a changed limit drains what is in use at the new rate",
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
    name: "time counts at the options of the call that reads it",
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
    name: "a fraction of a thousandth counts as a whole one, against the caller",
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
    name: "from continuous refill to interval",
    policy: continuous,
    steps: [
      { at: 0, cost: 10, says: allows(0, 2000) },
      { at: 500, policy: interval, says: denies(500, 0, 1500) },
      { at: 1000, policy: interval, cost: 5, says: allows(0, 2000) },
    ],
  },
  {
    name: "from interval refill to continuous",
    policy: interval,
    steps: [
      { at: 0, cost: 10, says: allows(0, 2000) },
      { at: 500, policy: continuous, says: allows(1, 1700) },
      { at: 500, verb: "peek", cost: 2, says: denies(1000, 1, 2000) },
    ],
  },
  {
    name: "a slower rate does not outlast the life that the last change gave the key",
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
    name: "gcra and leaky bucket are the same bucket under the same name",
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
    name: "another algorithm is another key",
    policy: ten,
    steps: [
      { at: 0, cost: 10, says: allows(0) },
      { at: 0, policy: fixedWindow({ name, limit: 10, window: "1m" }), says: allows(9, 60_000) },
      { at: 0, says: denies(100) },
    ],
  },
];

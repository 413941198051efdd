/** On the server's own clock: every key expires when it has become meaningless, and soon after. */
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import {
  calendarWindow,
  fixedWindow,
  gcra,
  leakyBucket,
  type Policy,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../src/index.js";
import { TracePlayer } from "../../src/testing/trace-player.js";
import { Random } from "../../src/core/random.js";
import { makeTrace, type Trace, type TraceStep } from "../../src/testing/trace.js";
import { MirroredStore } from "../support/mirrored-store.js";
import { runs } from "../support/runs.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const REFUND_REMEMBERED_MS = 60_000;
const NO_KEY = -2;
const NEVER_EXPIRES = -1;

let server: Awaited<ReturnType<typeof startRedis>>;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
afterAll(async () => {
  await redis.quit();
  await server.stop();
});

async function serverUs(): Promise<number> {
  const [seconds, us] = await redis.time();
  return Number(seconds) * 1e6 + Number(us);
}

/** need ≤ TTL ≤ need + max(1 s, need), with the need as it was at the last change. */
async function checkExpiry(store: MirroredStore, key: string): Promise<void> {
  const life = store.lives.get(key);
  const expiresAtMs = await redis.pexpiretime(key);
  if (life?.freshAtUs === undefined) {
    expect(expiresAtMs, `${key} is as good as new`).toBe(NO_KEY);
    return;
  }
  const { writtenAtUs, freshAtUs } = life;
  // Nobody waits for what is gone by now; it must have been the same as nothing.
  const goneAtUs = expiresAtMs === NO_KEY ? await serverUs() : expiresAtMs * 1e3;
  expect(goneAtUs, `${key} is kept too short`).toBeGreaterThanOrEqual(freshAtUs);
  if (expiresAtMs === NO_KEY) return;
  const slackUs = Math.max(1e6, freshAtUs - writtenAtUs);
  expect(expiresAtMs * 1e3, `${key} is kept too long`).toBeLessThanOrEqual(freshAtUs + slackUs);
}

/** Plays a trace in real time and looks at each key after each change. */
async function playAndCheck(trace: Trace, waitMs: (step: TraceStep) => number): Promise<void> {
  const store = new MirroredStore(redis);
  await using player = new TracePlayer(store, `ttl.${trace.seed}`, trace);
  for (const step of trace.steps) {
    const ms = waitMs(step);
    if (ms > 0) await sleep(ms);
    await player.perform(step);
    expect(store.differences).toEqual([]);
    for (const key of new Set(store.touched)) await checkExpiry(store, key);
  }
  for (const key of store.lives.keys()) await checkExpiry(store, key);
}

/** Every key there is, whoever wrote it, ends; those that remember a refund after a fixed time. */
async function checkAllKeys(): Promise<void> {
  for (const key of await redis.keys("*")) {
    const ttlMs = await redis.pttl(key);
    const longestMs = key.includes("!") ? REFUND_REMEMBERED_MS : Number.POSITIVE_INFINITY;
    expect(ttlMs, key).not.toBe(NEVER_EXPIRES);
    expect(ttlMs, key).toBeLessThanOrEqual(longestMs);
  }
}

/** Full again within moments, so that states come and go while the test watches. */
const quick: readonly (readonly [name: string, policy: Policy])[] = [
  ["continuous token bucket", tokenBucket({ limit: 7, period: 10, burst: 20 })],
  ["interval token bucket", tokenBucket({ limit: 3, period: 4, burst: 10, refill: "interval" })],
  ["gcra", gcra({ limit: 3, period: 5, burst: 5 })],
  ["leaky bucket", leakyBucket({ limit: 3, period: 7, capacity: 10 })],
  ["fixed window by the clock", fixedWindow({ limit: 10, window: 7 })],
  ["fixed window from the first hit", fixedWindow({ limit: 10, window: 7, align: "first" })],
  ["calendar window", calendarWindow({ limit: 10, unit: "minute", timeZone: "Europe/Berlin" })],
  ["sliding window", slidingWindow({ limit: 10, window: 7 })],
  ["sliding log", slidingLog({ limit: 10, window: 7 })],
];

function quickTrace(traceSeed: number, policy: Policy): Trace {
  const random = new Random(traceSeed);
  const verbs = ["consume", "consume", "consume", "consumeUpTo", "consumeMany", "consumeAtomic"];
  const others = [
    "reserve",
    "reserve",
    "cancel",
    "peek",
    "refund",
    "refund",
    "penalize",
    "penalize",
    "block",
    "unblock",
    "reset",
  ];
  const steps = Array.from(
    { length: 80 },
    (): TraceStep => ({
      advanceUs: random.pick([0, 0, 0, 1000, 2000, 12_000]),
      verb: random.pick([...verbs, ...others] as TraceStep["verb"][]),
      key: random.pick(["a", "a", "b"]),
      cost: random.pick([1, 1, 2, 5, 10, 11]),
      durationMs: random.pick([1, 3, 2500]),
      variant: 0,
      maxWaitMs: random.pick([Number.POSITIVE_INFINITY, 5]),
      back: random.pick([0, 0, 1]),
    }),
  );
  const blockForMs = random.pick([0, 0, 2]);
  const variants = [[policy]];
  return { seed: traceSeed, startMs: 0, variants, blockForMs, atomicAcrossKeys: true, steps };
}

describe(`expiry on the server's clock (SLUICE_SEED=${seed})`, () => {
  test.each(quick)("a %s outlives its meaning, and not by much", async (_, policy) => {
    const trace = quickTrace(seed + quick.findIndex((entry) => entry[1] === policy), policy);
    await playAndCheck(trace, ({ advanceUs }) => advanceUs / 1e3);
    await checkAllKeys();
  });

  test("so does every key of policies, verbs and options at random", async () => {
    // Time passes by itself; these traces are about long needs, debts and changed options.
    for (let i = 0; i < runs(100); i++) await playAndCheck(makeTrace(seed + 100 + i, 30), () => 0);
    await checkAllKeys();
  });
});

test("a mark of a refund stays a minute and no more, whatever the policy needs", async () => {
  await redis.flushall();
  const store = new MirroredStore(redis);
  const day = { ...makeTrace(0, 0), variants: [[tokenBucket({ limit: 10, period: "1d" })]] };
  await using player = new TracePlayer(store, "marks", day);
  const step = { advanceUs: 0, key: "k", durationMs: 1, variant: 0, maxWaitMs: 0, back: 0 };
  await player.perform({ ...step, verb: "consume", cost: 5 });
  await player.perform({ ...step, verb: "refund", cost: 1 });
  const marks = await redis.keys("*!*");
  expect(marks).toHaveLength(1);
  const ttlMs = await redis.pttl(marks[0] as string);
  expect(ttlMs).toBeGreaterThan(REFUND_REMEMBERED_MS - 30_000);
  expect(ttlMs).toBeLessThanOrEqual(REFUND_REMEMBERED_MS);
});

/**
 * A call that met a time which its calendar does not cover is sent again. Calls behind it on its key wait for it, or they
 * would be decided before it.
 */
import { randomUUID } from "node:crypto";
import { expect, inject, onTestFinished, test } from "vitest";
import {
  calendarWindow,
  MemoryStore,
  RateLimiter,
  type Store,
  tokenBucket,
} from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";

const START_MS = Date.UTC(2026, 10, 27, 8);
const DAY_MS = 86_400_000;

const hour = calendarWindow({ name: "hour", limit: 5, unit: "hour", timeZone: "UTC" });
const bucket = tokenBucket({ name: "bucket", limit: 7, period: "1d" });

/** What these calls of one tick are told about a key whose bucket is a day ahead of the clock. */
async function decisionsBy(
  makeStore: (clock: ManualClock) => Store,
  ask: (limiter: RateLimiter) => readonly Promise<unknown>[],
): Promise<readonly unknown[]> {
  const clock = new ManualClock(START_MS);
  const store = makeStore(clock);
  onTestFinished(() => store.close());
  const namespace = randomUUID();
  const options = { store, namespace, timeout: "30s", identity: "plain" } as const;
  const ahead = new RateLimiter({ ...options, policy: bucket });
  clock.advance(DAY_MS);
  await ahead.consume("a");
  clock.set(START_MS * 1000);
  const limiter = new RateLimiter({ ...options, policy: [hour, bucket] });
  return Promise.all(ask(limiter));
}

const TICKS: readonly (readonly [
  name: string,
  ask: (limiter: RateLimiter) => readonly Promise<unknown>[],
])[] = [
  [
    "a denial that needs no calendar",
    (limiter) => [limiter.consume("a"), limiter.consume("a", { cost: 6 }), limiter.peek("b")],
  ],
  [
    "denials of sets alone",
    (limiter) => [
      limiter.consumeMany([{ key: "a" }, { key: "b", cost: 6 }, { key: "a", cost: 6 }]),
    ],
  ],
  [
    "a peek",
    (limiter) => [limiter.consumeUpTo("a", { cost: 2 }), limiter.peek("a"), limiter.peek("b")],
  ],
];

test.each(TICKS)("%s comes behind the consume that it stands behind", async (_, ask) => {
  const url = inject("redisUrl");
  const inMemory = await decisionsBy((clock) => new MemoryStore({ clock }), ask);
  const inRedis = await decisionsBy((clock) => new RedisStore({ url, clock }), ask);
  expect(inRedis).toEqual(inMemory);
});

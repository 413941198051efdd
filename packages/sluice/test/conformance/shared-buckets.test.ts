/**
 * Limiters in different company that share a bucket, and did not know of each other when their calls began to
 * wait: what one gives back is nothing that another was promised. On every store.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  fixedWindow,
  MemoryStore,
  type Policy,
  RateLimiter,
  type Reservation,
  type Store,
  tokenBucket,
} from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { clients, type TestClient } from "../support/clients.js";

const x = tokenBucket({ name: "x", limit: 10, period: "1s", burst: 1 });
const y = tokenBucket({ name: "y", limit: 10, period: "1s", burst: 1 });

let connection: TestClient;
beforeAll(async () => {
  connection = await clients.ioredis();
});
afterAll(() => connection.close());

let namespaces = 0;

describe.each<[string, (clock: ManualClock) => Store]>([
  ["memory", (clock) => new MemoryStore({ clock })],
  ["Redis", (clock) => new RedisStore({ client: connection.client, clock })],
])("%s", (_, storeOf) => {
  /** Makes limiters of one store and namespace. */
  function shop(): (...policies: readonly Policy[]) => RateLimiter {
    const store = storeOf(new ManualClock());
    namespaces += 1;
    const namespace = `shared-${process.pid}-${Date.now()}-${namespaces}`;
    return (...policy) => new RateLimiter({ policy, store, namespace, timeout: "30s" });
  }

  type Granted = Extract<Reservation, { allowed: true }>;

  async function place(limiter: RateLimiter, cost = 1): Promise<Granted> {
    const reservation = await limiter.reserve("k", { cost });
    if (!reservation.allowed) throw new Error(`refused: ${reservation.reason}`);
    return reservation;
  }

  /** As another process would: nobody here knows of it. */
  async function placeOfStranger(limiter: RateLimiter, cost = 1): Promise<Granted> {
    const granted = await place(limiter, cost);
    await limiter.close();
    return granted;
  }

  test("a set's cancel gives nothing back that stands behind it in its second bucket", async () => {
    const make = shop();
    const set = make(x, y);
    await place(set);
    const last = await place(set);
    const alone = make(y);
    expect([last.delayMs, (await place(alone)).delayMs]).toEqual([100, 200]);
    expect(await last.cancel()).toBe(false);
    expect((await place(alone)).delayMs).toBe(300);
  });

  test("it gives all back once those behind it are gone", async () => {
    const make = shop();
    const set = make(x, y);
    await place(set);
    const last = await place(set);
    const behind = await placeOfStranger(make(y));
    expect(await behind.cancel()).toBe(true);
    expect(await last.cancel()).toBe(true);
    expect((await place(set)).delayMs).toBe(100);
  });

  test("nor does a set whose first policy is a window", async () => {
    const make = shop();
    const wide = tokenBucket({ name: "x", limit: 10, period: "1s", burst: 2 });
    const window = fixedWindow({ name: "w", limit: 100, window: "1m" });
    const alone = make(wide);
    const mixed = await place(make(window, wide));
    await place(alone);
    expect((await place(alone, 2)).delayMs).toBe(200);
    expect(await mixed.cancel()).toBe(false);
    expect((await place(alone, 2)).delayMs).toBe(400);
  });

  test("nor where as much stands behind it in one bucket as stood before it in the other", async () => {
    const make = shop();
    const set = make(x, y);
    await place(set);
    await place(set);
    expect((await placeOfStranger(make(x))).delayMs).toBe(200);
    const between = await place(set);
    expect(between.delayMs).toBe(300);
    expect((await placeOfStranger(make(y))).delayMs).toBe(300);
    expect(await between.cancel()).toBe(false);
    expect((await placeOfStranger(make(y))).delayMs).toBe(400);
  });

  test("a refund gives nothing back while a set that has the bucket waits", async () => {
    const make = shop();
    const set = make(x, y);
    await place(set);
    await place(set);
    const alone = make(y);
    await alone.refund("k", 1);
    expect((await place(alone)).delayMs).toBe(200);
  });
});

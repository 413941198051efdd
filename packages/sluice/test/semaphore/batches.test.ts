/** Commands of semaphores that are made in one tick go to Redis together, as if each had gone by itself. */
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { Semaphore, StoreUnavailableError } from "../../src/index.js";
import { RedisStore, type RunScript } from "../../src/stores/redis/index.js";
import { newName } from "../support/semaphores.js";

let redis: Redis;
beforeAll(() => {
  redis = new Redis(inject("redisUrl"));
});
afterAll(() => redis.quit());

/** A semaphore that asks by a script runner of its own, which `before` each script call may refuse it. */
function watched(
  limit: number,
  before: (keys: readonly string[]) => Error | undefined = () => undefined,
): { readonly semaphore: Semaphore; readonly calls: (readonly string[])[] } {
  const calls: (readonly string[])[] = [];
  const client: RunScript = async (_sha, source, keys, args) => {
    calls.push(keys);
    const refusal = before(keys);
    if (refusal !== undefined) throw refusal;
    return redis.eval(source, keys.length, ...keys, ...args);
  };
  const store = new RedisStore({ client });
  return { semaphore: new Semaphore({ limit, store, name: newName(), timeout: "30s" }), calls };
}

test("a burst is a few script calls of bounded size, each key in its order", async () => {
  const { semaphore, calls } = watched(3);
  const keys = Array.from({ length: 600 }, (_, i) => `k${i % 200}`);
  const permits = await Promise.all(keys.map((key) => semaphore.acquire(key)));
  expect(calls.length).toBeLessThan(40);
  expect(Math.max(...calls.map((own) => own.length))).toBeLessThanOrEqual(64);
  keys.forEach((key, i) => {
    const before = keys.lastIndexOf(key, i - 1);
    if (i < 200) return;
    expect(permits[i]?.fencingToken).toBeGreaterThan(permits[before]?.fencingToken ?? 0n);
  });
  const acquired = calls.length;
  const releases = permits.map((permit) => permit.release());
  expect(await semaphore.tryAcquire("k0"), "behind the releases").toBeDefined();
  await Promise.all(releases);
  expect(calls.length - acquired).toBeLessThan(40);
  expect(await semaphore.inspect("k1")).toMatchObject({ held: 0 });
  await semaphore.close();
});

test("a key that holds something else fails its own commands alone", async () => {
  const { semaphore, calls } = watched(5);
  await semaphore.acquire("bad");
  await redis.set(calls[0]?.[0] ?? "", "something else");
  const outcomes = await Promise.allSettled(
    ["a", "bad", "b", "bad", "c"].map((key) => semaphore.tryAcquire(key)),
  );
  expect(outcomes.map(({ status }) => status)).toEqual([
    "fulfilled",
    "rejected",
    "fulfilled",
    "rejected",
    "fulfilled",
  ]);
  expect(outcomes[1]).toMatchObject({ reason: expect.any(StoreUnavailableError) as Error });
  expect(calls).toHaveLength(2);
  await semaphore.close();
});

test.each([
  "CROSSSLOT Keys in request don't hash to the same slot",
  "TRYAGAIN Multiple keys request during rehashing of slot",
])("what is refused together is served apart: %s", async (message) => {
  const { semaphore, calls } = watched(1, (keys) =>
    keys.length > 1 ? new Error(message) : undefined,
  );
  const permits = await Promise.all(["a", "b", "a2", "c"].map((key) => semaphore.acquire(key)));
  expect(calls.map((keys) => keys.length)).toEqual([4, 1, 1, 1, 1]);
  await Promise.all(permits.map((permit) => permit.release()));
  expect(calls.map((keys) => keys.length).slice(5)).toEqual([1, 1, 1, 1]);
  expect(await semaphore.tryAcquire("a")).toBeDefined();
  await semaphore.close();
});

test("any other failure of a script call is that of all its commands, and nothing is sent again", async () => {
  const { semaphore, calls } = watched(1, () => new Error("READONLY You can't write"));
  const outcomes = await Promise.allSettled(["a", "b"].map((key) => semaphore.tryAcquire(key)));
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  // Then each gives up the permit that it may have got.
  expect(calls[0]).toHaveLength(2);
  expect(calls.length).toBeLessThanOrEqual(2);
  await semaphore.close();
});

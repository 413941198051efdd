/** What stores and semaphores count. */
import { expect, onTestFinished, test } from "vitest";
import { HeldStore } from "../../test/support/held-store.js";
import { RateLimiter, Semaphore, StoreUnavailableError, tokenBucket } from "../index.js";
import { ManualClock } from "../testing/index.js";
import { MemoryStore } from "./memory/memory-store.js";
import { RedisStore } from "./redis/index.js";
import { StoreCounts } from "./store-counts.js";

const policy = tokenBucket({ limit: 10, period: "1h" });
const hooks = { onError: () => {} };

/** A store outside the process whose calls are answered by hand, and which counts. */
class CountingStore extends HeldStore {
  readonly counts = new StoreCounts();
}

function limiterOn(store: CountingStore): RateLimiter {
  const breaker = { failures: 2, probeEvery: "1h" } as const;
  const limiter = new RateLimiter({ policy, store, timeout: "30s", hooks, breaker });
  onTestFinished(() => limiter.close());
  return limiter;
}

test("a store's calls: under way, answered, failed by what was said, refused, given up", async () => {
  const store = new CountingStore();
  const limiter = limiterOn(store);
  const abort = new AbortController();
  const answered = limiter.consume("a");
  expect(store.counts.stats().calls).toEqual({ answered: 0, failed: 0, aborted: 0, pending: 1 });
  store.settleAll();
  await answered;
  const given = limiter.consume("b", { signal: abort.signal });
  abort.abort();
  await expect(given).rejects.toThrow("aborted");
  expect(store.counts.stats().calls).toEqual({ answered: 1, failed: 0, aborted: 1, pending: 0 });
  store.settleAll();
  for (const said of ["NOPERM no permissions for user:42", "user:42 is odd"]) {
    const failed = limiter.consume("c");
    store.settleAll(new StoreUnavailableError("the store failed", { cause: new Error(said) }));
    await failed;
  }
  // Two in a row have opened the breaker.
  await limiter.consume("d");
  const { calls, errors, openParts } = store.counts.stats();
  expect(calls).toEqual({ answered: 1, failed: 3, aborted: 1, pending: 0 });
  expect(errors.reduce((sum, { count }) => sum + count, 0)).toBe(3);
  expect(errors).toContainEqual({ code: "STORE_UNAVAILABLE", server: "NOPERM", count: 1 });
  expect(JSON.stringify(errors)).not.toContain("42");
  expect(openParts).toEqual([""]);
});

test("a part whose breaker is open is probed while a call tries it", async () => {
  const store = new CountingStore();
  const breaker = { failures: 1, probeEvery: "1ms" } as const;
  const limiter = new RateLimiter({ policy, store, timeout: "30s", hooks, breaker });
  onTestFinished(() => limiter.close());
  const failed = limiter.consume("a");
  store.settleAll(new StoreUnavailableError("the store failed"));
  await failed;
  expect(store.counts.stats()).toMatchObject({ openParts: [""], probedParts: [] });
  // The next call that is not answered at once is the probe.
  const calls: Promise<unknown>[] = [];
  while (store.held.length === 0) {
    calls.push(limiter.consume("a"));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(store.counts.stats()).toMatchObject({ openParts: [""], probedParts: [""] });
  store.settleAll();
  await Promise.all(calls);
  expect(store.counts.stats()).toMatchObject({ openParts: [], probedParts: [] });
});

test("kinds of errors are few, whatever a server says", () => {
  const counts = new StoreCounts();
  for (let i = 0; i < 1000; i++) {
    const letters = String.fromCharCode(65 + (i % 26), 65 + (Math.floor(i / 26) % 26), 65);
    const cause = new Error(`${letters} something`);
    counts.refused(new StoreUnavailableError("the store failed", { cause }));
  }
  const { errors, calls } = counts.stats();
  expect(errors).toHaveLength(33);
  expect(errors.at(-1)).toMatchObject({ code: "OTHER", server: "", count: 936 });
  expect(calls.failed).toBe(1000);
});

test("a store on Redis counts its round trips, and the calls that share one", async () => {
  let isDown = false;
  const reply = [Date.now() * 1000, 64, 9000, 100];
  const run = async (): Promise<unknown> => {
    if (isDown) throw new Error("LOADING Redis is loading the dataset in memory");
    return reply;
  };
  const store = new RedisStore({ client: run });
  const limiter = new RateLimiter({ policy, store, timeout: "30s", hooks });
  await limiter.consume("a");
  isDown = true;
  await limiter.consume("b");
  const { tripMs, batchCalls, calls, errors } = store.stats();
  expect([tripMs.ok.count, tripMs.error.count, batchCalls.count, batchCalls.sum]).toEqual([
    1, 1, 2, 2,
  ]);
  expect(calls).toEqual({ answered: 1, failed: 1, aborted: 0, pending: 0 });
  expect(errors).toEqual([{ code: "STORE_UNAVAILABLE", server: "LOADING", count: 1 }]);
  expect(batchCalls.counts).toEqual([2, 0, 0, 0, 0, 0, 0]);
  await limiter.close();
  await store.close();
});

test("a store in memory shows its keys, bytes and evictions", async () => {
  const store = new MemoryStore({ maxKeys: 2 });
  const limiter = new RateLimiter({ policy, store });
  for (const key of ["a", "b", "c"]) await limiter.consume(key);
  expect(store.stats()).toEqual({ keys: 2, bytes: store.bytes, evictions: 1 });
});

test("a permit that was over before its release was lost, and says so", async () => {
  let nowUs = 1.7e15;
  // A process that was stopped: no timer of it has run.
  const clock = { nowUs: () => nowUs, sleep: () => new Promise<void>(() => {}) };
  const semaphore = new Semaphore({
    limit: 1,
    store: new MemoryStore({ clock }),
    leaseDuration: "1s",
  });
  const permit = await semaphore.acquire("k");
  nowUs += 1_300_000;
  await permit.release();
  expect(permit.lost.aborted).toBe(true);
  expect(semaphore.stats().lost).toBe(1);
  await semaphore.close();
});

test("a semaphore's permits: held, granted, lost, and for how long; and its waits", async () => {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const semaphore = new Semaphore({ limit: 3, store, leaseDuration: "1s" });
  const first = await semaphore.acquire("k", { weight: 2 });
  await semaphore.acquire("k");
  const waiting = semaphore.acquire("k");
  await expect(semaphore.acquire("k", { maxWait: 0 })).rejects.toThrow("no permit");
  expect(semaphore.stats()).toMatchObject({ limit: 3, held: 3, granted: 2, lost: 0 });
  expect(semaphore.stats().waits.waiting).toBe(1);
  await first.release();
  const next = await waiting;
  expect(semaphore.stats()).toMatchObject({ held: 2, granted: 3, lost: 0 });
  await next.release();
  await next.release();
  const { heldMs, waits, held } = semaphore.stats();
  expect([held, heldMs.count, waits.waiting, waits.waitedMs.started.count]).toEqual([1, 2, 0, 3]);
  await semaphore.close();
  expect(semaphore.stats()).toMatchObject({ held: 0, granted: 3, lost: 1 });
  expect(semaphore.stats().heldMs.count).toBe(3);
});

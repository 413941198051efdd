/** A store in memory that is full: who goes, who stays, and what a key that finds no room is answered. */
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import {
  consumeAtomic,
  fixedWindow,
  MemoryStore,
  type MemoryStoreOptions,
  type OnStoreFailure,
  type Permit,
  RateLimiter,
  Semaphore,
  slidingLog,
  StoreUnavailableError,
  tokenBucket,
} from "../../index.js";
import { ManualClock } from "../../testing/index.js";
import { runs } from "../../../test/support/runs.js";

const FULL = { name: "StoreUnavailableError", code: "STORE_FULL" };

function storeOf(options: MemoryStoreOptions): { clock: ManualClock; store: MemoryStore } {
  const clock = new ManualClock();
  return { clock, store: new MemoryStore({ clock, ...options }) };
}

/** A limiter with its own keyspace. */
const limiterOf = (
  store: MemoryStore,
  namespace: string,
  onStoreFailure?: OnStoreFailure,
): RateLimiter<MemoryStore> =>
  new RateLimiter({
    store,
    namespace,
    policy: tokenBucket({ limit: 5, period: "1h" }),
    onStoreFailure,
  });

async function block(limiter: RateLimiter<MemoryStore>, keys: number): Promise<void> {
  for (let i = 0; i < keys; i++) await limiter.block(`blocked:${i}`, "1h");
}

const heldBy = (limiter: RateLimiter<MemoryStore>, prefix: string, keys: number): number => {
  let held = 0;
  for (let i = 0; i < keys; i++) {
    if (limiter.consumeSync(`${prefix}:${i}`, { cost: 0 }).remaining < 5) held += 1;
  }
  return held;
};

describe("1,000 blocked keys in a store of 1,000", () => {
  const answers: readonly [OnStoreFailure | undefined, object][] = [
    [undefined, { allowed: false, reason: "store", source: "local" }],
    ["local", { allowed: false, reason: "store", source: "local" }],
    ["closed", { allowed: false, reason: "store", source: "fail-closed" }],
    ["open", { allowed: true, reason: "store", source: "fail-open" }],
  ];

  test.each(answers)("deny a new key by the policy %j, in every verb", async (policy, expected) => {
    const { store } = storeOf({ maxKeys: 1000 });
    const limiter = limiterOf(store, "one", policy);
    await block(limiter, 1000);
    const failures: unknown[] = [];
    limiter.events.on("failure", (failure) => failures.push(failure));
    expect(limiter.consumeSync("new")).toMatchObject(expected);
    expect(await limiter.consume("new")).toMatchObject(expected);
    expect(await limiter.consumeUpTo("new", { cost: 2 })).toMatchObject(expected);
    expect(await limiter.penalize("new", 1)).toMatchObject(expected);
    expect((await limiter.consumeMany([{ key: "new" }]))[0]).toMatchObject(expected);
    expect(failures).toHaveLength(5);
    expect(failures[0]).toMatchObject({ key: "new", error: FULL, decision: expected });
    // What needs no room is decided.
    expect(await limiter.peek("new")).toMatchObject({ allowed: true, source: "store" });
    expect(limiter.consumeSync("blocked:0")).toMatchObject({ reason: "blocked", source: "store" });
    await expect(limiter.block("new", "1s")).rejects.toMatchObject(FULL);
    expect(store.evictions).toBe(0);
    expect(store.size).toBe(1000);
  });

  test("reject a new key by the policy throw", async () => {
    const { store } = storeOf({ maxKeys: 1000 });
    const limiter = limiterOf(store, "one", "throw");
    await block(limiter, 1000);
    const failed = vi.fn();
    limiter.events.on("failure", failed);
    expect(() => limiter.consumeSync("new")).toThrow(expect.objectContaining(FULL));
    await expect(limiter.consume("new")).rejects.toBeInstanceOf(StoreUnavailableError);
    await expect(limiter.acquire("new", { maxWait: 0 })).rejects.toMatchObject(FULL);
    expect(failed).toHaveBeenCalledTimes(3);
  });

  test("leave a new key to the fallback", async () => {
    const { store } = storeOf({ maxKeys: 1000 });
    const fallback = limiterOf(new MemoryStore({ clock: new ManualClock() }), "two");
    const limiter = limiterOf(store, "one", { fallback });
    await block(limiter, 1000);
    expect(limiter.consumeSync("new")).toMatchObject({ remaining: 4, source: "fallback" });
    expect(await limiter.consume("new")).toMatchObject({ remaining: 3, source: "fallback" });
  });

  test("do not cost another limiter its memory", async () => {
    const { store } = storeOf({ maxKeys: 1000 });
    const evicted: string[] = [];
    store.events.on("eviction", ({ id }) => evicted.push(id));
    await block(limiterOf(store, "one"), 1000);
    const other = limiterOf(store, "two", "closed");
    for (let i = 0; i < 500; i++) {
      expect([1, 2, 3, 4, 5, 6].map(() => other.consumeSync(`new:${i}`).allowed)).toEqual([
        true,
        true,
        true,
        true,
        true,
        false,
      ]);
    }
    // Up to its share: then its own keys make room.
    expect(store.evictions).toBe(500);
    expect(evicted.every((id) => id.startsWith("blocked:"))).toBe(true);
    other.consumeSync("one more");
    expect(evicted.at(-1)).toMatch(/^new:/);
    expect(store.size).toBe(1000);
  });

  test("give way to a new key once their block is over", async () => {
    const { clock, store } = storeOf({ maxKeys: 1000 });
    const limiter = limiterOf(store, "one");
    for (let i = 0; i < 1000; i++) {
      limiter.consumeSync(`blocked:${i}`, { cost: 5 });
      await limiter.block(`blocked:${i}`, "10s");
    }
    expect(limiter.consumeSync("new").reason).toBe("store");
    clock.advance(10_001);
    expect([limiter.consumeSync("new", { cost: 5 }), limiter.consumeSync("new")]).toMatchObject([
      { allowed: true },
      { allowed: false, reason: "quota" },
    ]);
    expect(store.evictions).toBe(1);
  });
});

test("a key whose block is over goes before those that are still blocked", async () => {
  const { clock, store } = storeOf({ maxKeys: 100 });
  const limiter = limiterOf(store, "one");
  for (let i = 0; i < 100; i++) {
    limiter.consumeSync(`blocked:${i}`, { cost: 5 });
    await limiter.block(`blocked:${i}`, i === 0 ? "10s" : "30m");
  }
  const evicted: string[] = [];
  store.events.on("eviction", ({ id }) => evicted.push(id));
  clock.advance(10_001);
  expect(limiter.consumeSync("new").reason).toBe("ok");
  expect(evicted).toEqual(["blocked:0"]);
});

test("a keyspace above its share takes nothing from those below theirs", async () => {
  const { store } = storeOf({ maxKeys: 100 });
  const [large, small] = [limiterOf(store, "large"), limiterOf(store, "small")];
  await block(large, 60);
  for (let i = 0; i < 40; i++) small.consumeSync(`user:${i}`);
  expect(large.consumeSync("new")).toMatchObject({ allowed: false, reason: "store" });
  expect(heldBy(small, "user", 40)).toBe(40);
});

test("of several keyspaces above their share the largest makes room", () => {
  const { store } = storeOf({ maxKeys: 100 });
  const evicted: string[] = [];
  store.events.on("eviction", ({ keyspace }) => evicted.push(keyspace));
  const [second, first, third] = ["b", "a", "c"].map((name) => limiterOf(store, name));
  for (let i = 0; i < 40; i++) second?.consumeSync(`user:${i}`);
  for (let i = 0; i < 55; i++) first?.consumeSync(`user:${i}`);
  for (let i = 0; i < 10; i++) third?.consumeSync(`user:${i}`);
  expect(evicted).toEqual(Array(5).fill("a:token-bucket"));
});

describe("a flood", () => {
  test.each([
    ["keys", { maxKeys: 900 }],
    ["bytes", { maxBytes: 900 * 200 }],
  ])("of one keyspace leaves the others their share of the %s", async (_name, limits) => {
    const { store } = storeOf(limits);
    const [flooded, ...others] = ["a", "b", "c"].map((name) => limiterOf(store, name));
    for (let i = 0; i < 2000; i++) flooded?.consumeSync(`flood:${i}`);
    for (let i = 0; i < 250; i++) {
      for (const other of others) other.consumeSync(`user:${i}`);
    }
    for (let i = 0; i < 20_000; i++) flooded?.consumeSync(`more:${i}`);
    for (const other of others) expect(heldBy(other, "user", 250)).toBe(250);
    expect(store.bytes).toBeLessThanOrEqual(store.maxBytes);
  });

  test("is what makes room: a keyspace that holds most loses the key nearest its expiry", () => {
    const { clock, store } = storeOf({ maxKeys: 100 });
    const evicted: string[] = [];
    store.events.on("eviction", ({ keyspace, id }) => evicted.push(`${keyspace} ${id}`));
    const limiter = (name: string, limit: number): RateLimiter<MemoryStore> =>
      new RateLimiter({ store, policy: tokenBucket({ name, limit, period: limit * 1000 }) });
    // One second a unit: what is used says how long the key lives.
    const small = limiter("small", 60);
    const large = limiter("large", 300);
    for (let i = 0; i < 40; i++) small.consumeSync(`s:${i}`);
    for (let i = 0; i < 60; i++) large.consumeSync(`l:${i}`, { cost: 100 - i });
    small.consumeSync("s:new");
    expect(evicted).toEqual(["sluice:large~b l:59"]);
    // Keys that were used again are still at their old position in the ring; they are not the nearest.
    for (let i = 30; i < 59; i++) large.consumeSync(`l:${i}`, { cost: 200 });
    clock.advance(1000);
    small.consumeSync("s:newer");
    expect(evicted.at(-1)).toBe("sluice:large~b l:29");
    expect(evicted).toHaveLength(2);
  });
});

describe("a call that finds no room", () => {
  test("charges none of its policies", async () => {
    const { store } = storeOf({ maxKeys: 3 });
    const burst = tokenBucket({ name: "a", limit: 10, period: "1h" });
    const daily = fixedWindow({ name: "b", limit: 1000, window: "1d" });
    const only = new RateLimiter({ store, policy: burst });
    const both = new RateLimiter({ store, policy: [burst, daily], onStoreFailure: "closed" });
    const days = new RateLimiter({ store, policy: daily });
    only.consumeSync("x");
    await days.block("y", "1h");
    await days.block("z", "1h");
    // The day's share is one and a half keys, and it has two.
    expect(both.consumeSync("x")).toMatchObject({ allowed: false, reason: "store" });
    expect(only.consumeSync("x", { cost: 0 }).remaining).toBe(9);
    const atomic = await consumeAtomic([
      { limiter: only, key: "x" },
      { limiter: both, key: "x" },
    ]);
    expect(atomic.allowed).toBe(false);
    expect(only.consumeSync("x", { cost: 0 }).remaining).toBe(9);
    expect(store.size).toBe(3);
  });

  test("of more policies than the store has places leaves it as it was", () => {
    const { store } = storeOf({ maxKeys: 1 });
    const daily = fixedWindow({ name: "b", limit: 1000, window: "1h" });
    const burst = tokenBucket({ name: "a", limit: 10, period: "1s" });
    const one = new RateLimiter({ store, policy: daily });
    const both = new RateLimiter({ store, policy: [burst, daily] });
    one.consumeSync("x", { cost: 500 });
    expect(both.consumeSync("x")).toMatchObject({ allowed: false, reason: "store" });
    expect(both.consumeSync("y")).toMatchObject({ allowed: false, reason: "store" });
    expect(store.size).toBeLessThanOrEqual(1);
  });

  test("adds nothing to a hit of the same moment", async () => {
    const { clock, store } = storeOf({ maxKeys: 3 });
    const log = slidingLog({ name: "a", limit: 3, window: "1h" });
    const bucket = tokenBucket({ name: "b", limit: 10, period: "1d" });
    const logs = new RateLimiter({ store, policy: log });
    const both = new RateLimiter({ store, policy: [log, bucket] });
    const buckets = new RateLimiter({ store, policy: bucket });
    await buckets.block("y", "1d");
    await buckets.block("z", "1d");
    logs.consumeSync("x");
    expect(both.consumeSync("x").reason).toBe("store");
    clock.advance(1000);
    logs.consumeSync("x");
    clock.advance(3_599_000);
    expect(logs.consumeSync("x", { cost: 0 }).remaining).toBe(2);
  });

  test("leaves a log as it was", () => {
    const { clock, store } = storeOf({ maxBytes: 2000 });
    const policy = slidingLog({ limit: 1000, window: "1h" });
    const limiter = new RateLimiter({ store, policy, onStoreFailure: "closed" });
    let admitted = 0;
    for (let i = 0; i < 100; i++) {
      clock.advance(1);
      const decision = limiter.consumeSync("k");
      if (decision.source === "store") admitted += 1;
      expect(limiter.consumeSync("k", { cost: 0 }).remaining).toBe(1000 - admitted);
    }
    expect(admitted).toBeGreaterThan(10);
    expect(admitted).toBeLessThan(60);
    expect(store.bytes).toBeLessThanOrEqual(2000);
    clock.advance(3_600_000);
    expect(limiter.consumeSync("k").remaining).toBe(999);
  });
});

describe("long keys", () => {
  const long = (i: number): string => `${"k".repeat(4000)}${i}`;

  test("are kept as digests, and are keys like any other", async () => {
    const { store } = storeOf({ maxKeys: 2 });
    const limiter = limiterOf(store, "one");
    const evicted: string[] = [];
    store.events.on("eviction", ({ id }) => evicted.push(id));
    expect(limiter.consumeSync(long(1)).remaining).toBe(4);
    expect(limiter.consumeSync(long(2)).remaining).toBe(4);
    expect(limiter.consumeSync(long(1)).remaining).toBe(3);
    expect(store.bytes).toBeLessThan(1000);
    limiter.consumeSync("third", { cost: 5 });
    expect(evicted).toEqual([expect.stringMatching(/^sha256 of a long key: [\w-]{43}$/)]);
    // The text as which a long key is kept does not, as a key, reach that state.
    expect(limiter.consumeSync(evicted[0] as string, { cost: 0 }).remaining).toBe(5);
    await limiter.reset(long(1));
    expect(limiter.consumeSync(long(1), { cost: 0 }).remaining).toBe(5);
    expect(store.size).toBe(1);
  });

  test.each([1, 12, 13, 63, 64, 65, 66, 4096])("of %d characters keep their state", (length) => {
    const { store } = storeOf({});
    const limiter = limiterOf(store, "one");
    const key = "x".repeat(length);
    expect([1, 2].map(() => limiter.consumeSync(key).remaining)).toEqual([4, 3]);
    const [bytes] = [store.bytes];
    expect(bytes).toBeGreaterThan(176);
    expect(bytes).toBeLessThan(400);
  });
});

describe("what a store says that it holds", () => {
  test("goes in the first second after it expired, also where an earlier sweep was broken off", () => {
    const { clock, store } = storeOf({ maxKeys: 10 });
    const limiters = ["a", "b", "c", "d"].map((name) => {
      return new RateLimiter({ store, policy: tokenBucket({ name, limit: 1, period: "2s" }) });
    });
    const [first, second] = limiters;
    for (const limiter of limiters) limiter.consumeSync("old");
    limiters.at(-1)?.consumeSync("older");
    clock.advance(10_000);
    // Each call frees four keys: this one leaves the fifth, and stores a new one in a slot that it has looked at.
    first?.consumeSync("new");
    clock.advance(10_000);
    for (let i = 0; i < 10; i++) second?.consumeSync("other", { cost: 0 });
    expect(store.size).toBe(0);
  });

  test("is never more than it may, and nothing once all has expired", async () => {
    const calls = fc.array(
      fc.record({
        kind: fc.constantFrom(
          "consume",
          "consume",
          "consume",
          "block",
          "reset",
          "penalize",
          "advance",
        ),
        limiter: fc.nat(3),
        key: fc.nat(12),
        cost: fc.integer({ min: 1, max: 5 }),
      }),
      { maxLength: 150 },
    );
    await fc.assert(
      fc.asyncProperty(
        calls,
        fc.integer({ min: 1024, max: 6000 }),
        fc.integer({ min: 1, max: 12 }),
        async (list, maxBytes, maxKeys) => {
          const { clock, store } = storeOf({ maxBytes, maxKeys });
          const limiters = [
            tokenBucket({ name: "a", limit: 5, period: "10s" }),
            slidingLog({ name: "b", limit: 50, window: "10s" }),
            [
              tokenBucket({ name: "c", limit: 5, period: "5s" }),
              slidingLog({ name: "d", limit: 20, window: "7s" }),
            ],
            fixedWindow({ name: "e", limit: 5, window: "3s" }),
          ].map((policy) => new RateLimiter({ store, policy }));
          for (const { kind, limiter: which, key, cost } of list) {
            const limiter = limiters[which] as RateLimiter<MemoryStore>;
            const name = `${"key".repeat(key)}:${key}`;
            if (kind === "consume") limiter.consumeSync(name, { cost });
            else if (kind === "advance") clock.advance(cost * 700);
            else if (kind === "penalize") await limiter.penalize(name, cost);
            else if (kind === "reset") await limiter.reset(name);
            else await limiter.block(name, cost * 1000).catch(() => {});
            expect(store.bytes).toBeLessThanOrEqual(maxBytes);
            expect(store.size).toBeLessThanOrEqual(maxKeys);
          }
          clock.advance(3_600_000);
          for (let i = 0; i < 200; i++) limiters[0]?.consumeSync("other", { cost: 0 });
          expect([store.size, store.bytes]).toEqual([0, 0]);
        },
      ),
      { numRuns: runs(200) },
    );
  });
});

describe("semaphores in a full store", () => {
  test("are refused, and what is held can be given back", async () => {
    const { store } = storeOf({ maxBytes: 20_000 });
    const semaphore = new Semaphore({ limit: 100, store });
    const permits: Permit[] = [];
    const fill = async (): Promise<void> => {
      for (;;) permits.push(await semaphore.acquire(`key:${permits.length}`));
    };
    await expect(fill()).rejects.toMatchObject(FULL);
    expect(permits.length).toBeGreaterThan(3);
    expect(store.bytes).toBeLessThanOrEqual(20_000);
    for (const permit of permits) await permit.release();
    expect(store.bytes).toBe(0);
    await (await semaphore.acquire("again")).release();
    await semaphore.close();
  });

  test("take room from limiters that hold more than their share", async () => {
    const { store } = storeOf({ maxBytes: 20_000 });
    const limiter = limiterOf(store, "one");
    for (let i = 0; i < 1000; i++) limiter.consumeSync(`flood:${i}`);
    const semaphore = new Semaphore({ limit: 1, store });
    const permit = await semaphore.acquire("k");
    expect(store.bytes).toBeLessThanOrEqual(20_000);
    await permit.release();
    await semaphore.close();
  });
});

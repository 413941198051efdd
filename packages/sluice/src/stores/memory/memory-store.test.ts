import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type StoreResult,
  consumeAtomic,
  fixedWindow,
  InvalidOptionError,
  MemoryStore,
  type MemoryStoreOptions,
  type Policy,
  RateLimiter,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../index.js";
import { ruleOf } from "../../algorithms/rule.js";
import { ManualClock } from "../../testing/manual-clock.js";
import type { Table } from "./arena.js";
import { PureStore } from "../../testing/pure-store.js";
import { runs } from "../../../test/support/runs.js";

function storeOf(maxKeys: number): { clock: ManualClock; store: MemoryStore } {
  const clock = new ManualClock();
  return { clock, store: new MemoryStore({ clock, maxKeys }) };
}

/** Keys of the default token bucket that the store's own map holds. */
const mapped = (store: MemoryStore): number => {
  const { kernel } = ruleOf(tokenBucket({ limit: 1, period: 1 }));
  return (store.open("sluice:token-bucket", kernel) as Table).slots.size;
};

describe("options", () => {
  test.each([
    [{ maxKeys: 0 }, "maxKeys"],
    [{ maxKeys: -1 }, "maxKeys"],
    [{ maxKeys: 1.5 }, "maxKeys"],
    [{ maxKeys: Number.NaN }, "maxKeys"],
    [{ maxKeys: Infinity }, "maxKeys"],
    [{ maxKeys: 2 ** 24 + 1 }, "maxKeys"],
    [{ maxKeys: "10" }, "maxKeys"],
    [{ maxBytes: 0 }, "maxBytes"],
    [{ maxBytes: 1023 }, "maxBytes"],
    [{ maxBytes: 2048.5 }, "maxBytes"],
    [{ maxBytes: Infinity }, "maxBytes"],
    [{ maxBytes: 2 ** 40 + 1 }, "maxBytes"],
    [{ maxBytes: "256 MB" }, "maxBytes"],
    [{ clock: {} }, "clock"],
    [{ clock: 5 }, "clock"],
    [{ clock: Date }, "clock"],
    [{ maxkeys: 10 }, "maxkeys"],
    [[], "options"],
    [null, "options"],
    ["memory", "options"],
  ])("%o are refused, naming %s", (options, option) => {
    expect(() => new MemoryStore(options as MemoryStoreOptions)).toThrow(
      expect.objectContaining({ name: InvalidOptionError.name, option }),
    );
  });

  test("have defaults", () => {
    expect(new MemoryStore()).toMatchObject({ maxKeys: 1_000_000, maxBytes: 256 * 2 ** 20 });
    expect(
      new MemoryStore({ maxKeys: undefined, maxBytes: undefined, clock: undefined }).bytes,
    ).toBe(0);
    expect(new MemoryStore({}).size).toBe(0);
  });
});

describe("maxKeys", () => {
  const keys = runs(1_000_000, 100_000);
  test(`holds under ${keys} distinct keys, in the store's map too`, () => {
    const { clock, store } = storeOf(1000);
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 5, period: "1h" }), store });
    let largest = 0;
    for (let i = 0; i < keys; i++) {
      limiter.consumeSync(`key:${i}`);
      if (store.size > largest) largest = store.size;
      if (i % 1000 === 0) clock.advance(1);
    }
    expect(largest).toBe(1000);
    expect(mapped(store)).toBe(1000);
    expect(store.evictions).toBe(keys - 1000);
  });

  test("of one keeps the newest key alone", () => {
    const { store } = storeOf(1);
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 5, period: "1h" }), store });
    limiter.consumeSync("a");
    limiter.consumeSync("b");
    expect(limiter.consumeSync("b").remaining).toBe(3);
    expect(store.size).toBe(1);
    expect(limiter.consumeSync("a").remaining).toBe(4);
    expect(store.evictions).toBe(2);
  });

  test("is not spent on keys that only ask, are refunded, reset or unblocked", async () => {
    const { store } = storeOf(5);
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 5, period: "1h" }), store });
    for (let i = 0; i < 20; i++) {
      await limiter.peek(`peeked:${i}`);
      limiter.consumeSync(`asked:${i}`, { cost: 0 });
      limiter.consumeSync(`denied:${i}`, { cost: 6 });
      await limiter.refund(`refunded:${i}`, 3);
      await limiter.reset(`reset:${i}`);
      await limiter.unblock(`unblocked:${i}`);
      limiter.consumeSync(`given back:${i}`);
      await limiter.refund(`given back:${i}`, 1);
      await limiter.block(`freed:${i}`, "1h");
      await limiter.unblock(`freed:${i}`);
    }
    expect(store.size).toBe(0);
    expect(store.evictions).toBe(0);
  });

  test("drops expired keys before live ones, and does not count them as evictions", () => {
    const { clock, store } = storeOf(10);
    const short = new RateLimiter({
      policy: tokenBucket({ name: "short", limit: 1, period: "2s" }),
      store,
    });
    const long = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }), store });
    for (let i = 0; i < 5; i++) short.consumeSync(`s${i}`);
    for (let i = 0; i < 5; i++) long.consumeSync(`l${i}`);
    // A short one needs 2 s and is kept for 4: all of them have expired within the running second.
    clock.advance(4000);
    for (let i = 5; i < 10; i++) long.consumeSync(`l${i}`);
    expect(store.evictions).toBe(0);
    expect(store.size).toBe(10);
    for (let i = 0; i < 10; i++) expect(long.consumeSync(`l${i}`).allowed).toBe(false);
  });

  test("drops the live key nearest its expiry", () => {
    const { store } = storeOf(5);
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 100, period: "100m" }), store });
    // The more is used, the later the key is full again.
    for (const used of [50, 20, 40, 10, 30]) limiter.consumeSync(`used:${used}`, { cost: used });
    limiter.consumeSync("new", { cost: 99 });
    expect(store.evictions).toBe(1);
    expect(limiter.consumeSync("used:10", { cost: 0 }).remaining).toBe(100);
    expect(limiter.consumeSync("used:20", { cost: 0 }).remaining).toBe(80);
    limiter.consumeSync("newer", { cost: 99 });
    expect(limiter.consumeSync("used:20", { cost: 0 }).remaining).toBe(100);
  });

  test("never drops a blocked or indebted key while there is another", async () => {
    const { store } = storeOf(200);
    const policy = tokenBucket({ limit: 5, period: "1m" });
    const limiter = new RateLimiter({ policy, store });
    for (let i = 0; i < 60; i++) {
      await limiter.block(`blocked:${i}`, "10s");
      await limiter.penalize(`indebted:${i}`, 5.001);
    }
    for (let i = 0; i < 1000; i++) limiter.consumeSync(`new:${i}`, { cost: 5 });
    expect(store.size).toBe(200);
    for (let i = 0; i < 60; i++) {
      expect(limiter.consumeSync(`blocked:${i}`).reason).toBe("blocked");
      expect(limiter.consumeSync(`indebted:${i}`, { cost: 0 }).allowed).toBe(false);
    }
    // The others were really kept, and not refused their place.
    expect(limiter.consumeSync("new:999").allowed).toBe(false);
  });

  test("forgets a debt that has expired like anything else", async () => {
    const { clock, store } = storeOf(3);
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }), store });
    for (let i = 0; i < 3; i++) await limiter.penalize(`indebted:${i}`, 2);
    clock.advance(4000);
    limiter.consumeSync("new");
    expect(limiter.consumeSync("new").allowed).toBe(false);
    expect(store.evictions).toBe(0);
  });
});

describe("one call over several policies", () => {
  const policies = [
    tokenBucket({ name: "burst", limit: 10, period: "1s" }),
    fixedWindow({ name: "daily", limit: 1000, window: "1d" }),
    slidingLog({ name: "log", limit: 50, window: "1m" }),
    slidingWindow({ name: "smooth", limit: 500, window: "1h" }),
  ];

  test("never drops its own rows to make room for another of its rows", () => {
    const { clock, store } = storeOf(3);
    const [burst, daily] = policies.slice(0, 2) as [Policy, Policy];
    const limiter = new RateLimiter({ policy: [burst, daily], store });
    const longer = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "31d" }), store });
    limiter.consumeSync("k", { cost: 4 });
    clock.advance(5000);
    // The burst's row has gone; the day's is the nearest to its expiry.
    longer.consumeSync("x");
    longer.consumeSync("y");
    expect(store.size).toBe(3);
    expect(limiter.consumeSync("k", { cost: 3 }).policies?.[0]).toMatchObject({ remaining: 7 });
    expect(store.size).toBe(3);
    const after = limiter.consumeSync("k", { cost: 0 });
    expect(after.policies).toMatchObject([{ remaining: 7 }, { remaining: 993 }]);
    expect(store.evictions).toBe(1);
  });

  test("never writes over another key's row when sweeping for room freed one of its own", () => {
    const { clock, store } = storeOf(2);
    const limiter = new RateLimiter({
      policy: [
        fixedWindow({ name: "first", limit: 5, window: "1s" }),
        tokenBucket({ name: "second", limit: 10, period: "1s" }),
      ],
      store,
    });
    const second = new RateLimiter({
      policy: tokenBucket({ name: "second", limit: 10, period: "1s" }),
      store,
    });
    const other = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "31d" }), store });
    second.consumeSync("k", { cost: 4 });
    other.consumeSync("x");
    clock.advance(2500);
    limiter.consumeSync("k", { cost: 3 });
    expect(store.size).toBe(2);
    expect(limiter.consumeSync("k", { cost: 0 }).policies).toMatchObject([
      { remaining: 2 },
      { remaining: 7 },
    ]);
  });

  test("keeps what its keys hold, and no more than maxKeys, whatever is evicted", () => {
    const calls = fc.array(
      fc.record({
        key: fc.integer({ min: 0, max: 5 }),
        count: fc.integer({ min: 1, max: 4 }),
        advance: fc.constantFrom(0, 0, 1, 400, 1500, 90_000),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(calls, fc.integer({ min: 1, max: 8 }), (list, maxKeys) => {
        const { clock, store } = storeOf(maxKeys);
        const limiters = [1, 2, 3, 4].map(
          (count) =>
            new RateLimiter({
              policy: policies.slice(0, count),
              store,
              namespace: `n${count}`,
            }),
        );
        for (const { key, count, advance } of list) {
          clock.advance(advance);
          const limiter = limiters[count - 1] as RateLimiter<MemoryStore>;
          const before = store.evictions;
          const first = limiter.consumeSync(`k${key}`);
          expect(store.size).toBeLessThanOrEqual(maxKeys);
          if (store.evictions > before || first.reason === "store") continue;
          // Nothing had to go: the same instant's next answer continues from this one.
          const second = limiter.consumeSync(`k${key}`, { cost: 0 });
          expect(second.policies?.map(({ remaining }) => remaining)).toEqual(
            first.policies?.map(({ remaining }) => remaining),
          );
        }
      }),
      { numRuns: runs(300) },
    );
  });

  test("answers as the pure kernels do while nothing is evicted, row for row", async () => {
    const calls = fc.array(
      fc.record({
        keys: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 3 }),
        advance: fc.constantFrom(0, 1, 700, 2500, 61_000),
      }),
      { maxLength: 60 },
    );
    await fc.assert(
      fc.asyncProperty(calls, async (list) => {
        const clock = new ManualClock();
        const stores = [new MemoryStore({ clock }), new PureStore(clock)];
        const limiters = stores.map((store) => new RateLimiter({ policy: policies, store }));
        for (const { keys, advance } of list) {
          clock.advance(advance);
          const answers = await Promise.all(
            limiters.map((limiter) =>
              consumeAtomic(keys.map((key) => ({ limiter, key: `k${key}` }))),
            ),
          );
          expect(answers[0]).toEqual(answers[1]);
        }
      }),
      { numRuns: runs(100) },
    );
  });
});

describe("idle keys", () => {
  test("are swept by use, faster than new ones come", () => {
    const { clock, store } = storeOf(1_000_000);
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }), store });
    for (let i = 0; i < 4000; i++) limiter.consumeSync(`old:${i}`);
    expect(store.size).toBe(4000);
    clock.advance(10_000);
    for (let i = 0; i < 2000; i++) limiter.consumeSync(`new:${i}`);
    expect(store.size).toBe(2000);
    expect(mapped(store)).toBe(2000);
    expect(store.evictions).toBe(0);
  });

  test("are swept by calls that only ask, too", async () => {
    const { clock, store } = storeOf(1000);
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }), store });
    for (let i = 0; i < 100; i++) limiter.consumeSync(`old:${i}`);
    clock.advance(3_600_000);
    for (let i = 0; i < 100; i++) await limiter.peek("other");
    expect(store.size).toBe(0);
  });

  test("are swept after years of silence", () => {
    const { clock, store } = storeOf(1000);
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "31d" }), store });
    for (let i = 0; i < 100; i++) limiter.consumeSync(`old:${i}`);
    clock.advance(10 * 366 * 86_400_000);
    for (let i = 0; i < 100; i++) limiter.consumeSync("other", { cost: 0 });
    expect(store.size).toBe(0);
  });

  test("are swept although they expire in half a year, once that has passed by the day", () => {
    const { clock, store } = storeOf(1000);
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "180d" }), store });
    for (let i = 0; i < 50; i++) limiter.consumeSync(`old:${i}`);
    for (let day = 0; day <= 361; day++) {
      clock.advance(86_400_000);
      for (let i = 0; i < 30; i++) limiter.consumeSync("other", { cost: 0 });
      if (day < 359) expect(store.size).toBe(50);
    }
    expect(store.size).toBe(0);
  });

  test("need no timer", () => {
    const timers = (): number =>
      process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const before = timers();
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }) });
    for (let i = 0; i < 1000; i++) limiter.consumeSync(`key:${i}`);
    expect(timers()).toBe(before);
  });
});

describe("hostile keys", () => {
  const limiter = new RateLimiter({
    policy: tokenBucket({ limit: 3, period: "1h" }),
    store: new MemoryStore({ clock: new ManualClock() }),
  });

  test.each([
    ["__proto__"],
    ["constructor"],
    ["hasOwnProperty"],
    ["toString"],
    ["prototype"],
    ["\0"],
    ["a\0b"],
    ["{a}:b"],
    ["sluice:token-bucket"],
    ["😀".repeat(1024)],
    ["k".repeat(4096)],
    ["k".repeat(4095)],
    ["e\u0301"],
    ["\u00e9"],
    [" "],
    ["0"],
    ["-1"],
    ["NaN"],
    ["undefined"],
  ])("%j is a key like any other", (key) => {
    expect([0, 1, 2, 3].map(() => limiter.consumeSync(key).allowed)).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect({}).not.toHaveProperty("slots");
  });
});

describe("the store's clock", () => {
  test("is read once a call", () => {
    let reads = 0;
    const clock = { nowUs: () => 1e15 + reads++, sleep: async (): Promise<void> => {} };
    const limiter = new RateLimiter({
      policy: [
        tokenBucket({ name: "a", limit: 1, period: "1s" }),
        fixedWindow({ name: "b", limit: 1, window: "1s" }),
      ],
      store: new MemoryStore({ clock }),
    });
    limiter.consumeSync("k");
    expect(reads).toBe(1);
  });
});

describe("a store", () => {
  test("keeps limiters of different namespaces, names and algorithms apart", () => {
    const store = new MemoryStore({ clock: new ManualClock() });
    const make = (namespace: string, policy: Policy): RateLimiter<MemoryStore> =>
      new RateLimiter({ store, namespace, policy });
    const limiters = [
      make("a", tokenBucket({ limit: 1, period: "1h" })),
      make("b", tokenBucket({ limit: 1, period: "1h" })),
      make("a", tokenBucket({ name: "p", limit: 1, period: "1h" })),
      make("a", fixedWindow({ name: "q", limit: 1, window: "1h" })),
      // Named as another algorithm's default.
      make("a", fixedWindow({ name: "token-bucket", limit: 1, window: "1h" })),
      make("a", fixedWindow({ limit: 1, window: "1h" })),
    ];
    for (const limiter of limiters) expect(limiter.consumeSync("k").allowed).toBe(true);
    for (const limiter of limiters) expect(limiter.consumeSync("k").allowed).toBe(false);
    expect(store.size).toBe(6);
  });

  test("answers calls in the order in which they come, each with an answer of its own", () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const policy = slidingLog({ limit: 10_000, window: "1h" });
    const limiter = new RateLimiter({ policy, store });
    for (let i = 0; i < 10_000; i++) {
      limiter.consumeSync("full", { cost: 0.001 });
      clock.advance(0.001);
    }
    const rule = ruleOf(policy);
    const keyspace = store.open("sluice:sliding-log", rule.kernel);
    const outcomes: (StoreResult | Error)[] = [];
    for (const id of ["other", "full", "other"]) {
      const debits = [{ name: "p", rule, keyspace, id, cost: 1 }];
      store.submit({ verb: 1, debits, blockUs: 0, maxWaitUs: 0 }, (outcome) =>
        outcomes.push(outcome),
      );
    }
    expect(outcomes[0]).toMatchObject({ granted: 1, debits: [{ available: 9_999_999 }] });
    expect(outcomes[1]).toBeInstanceOf(InvalidOptionError);
    expect(outcomes[2]).toMatchObject({ granted: 1, debits: [{ available: 9_999_998 }] });
  });
});

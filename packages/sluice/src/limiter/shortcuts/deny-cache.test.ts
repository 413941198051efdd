import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test, vi } from "vitest";
import { stopTime } from "../../../test/support/model-time.js";
import { drain, policy, setUp } from "../../../test/support/outside-limiter.js";
import { OutsideStore } from "../../../test/support/outside-store.js";
import {
  type Decision,
  type DecisionEvent,
  fixedWindow,
  InvalidOptionError,
  MemoryStore,
  RateLimiter,
  tokenBucket,
} from "../../index.js";
import { type AskedCall, DenyCache } from "./deny-cache.js";

describe("a remembered denial", () => {
  test("refuses without asking, with the denial's numbers counted down", async () => {
    const { limiter, pass, asked, clock } = setUp();
    const denial = await drain(limiter);
    expect(denial).toMatchObject({ source: "store", retryAfterMs: 1000, resetAfterMs: 10_000 });
    pass(400.25);
    const before = asked();
    expect(await limiter.consume("k")).toEqual({
      ...denial,
      source: "deny-cache",
      retryAfterMs: 600,
      resetAfterMs: 9600,
      decidedAtUs: clock.nowUs(),
    });
    expect(asked()).toBe(before);
  });

  test("holds until the wait is over, and never says to wait 0 ms", async () => {
    const { limiter, pass, asked } = setUp();
    await drain(limiter, "k", 0.5);
    pass(499.99);
    expect(await limiter.consume("k", { cost: 0.5 })).toMatchObject({
      source: "deny-cache",
      retryAfterMs: 1,
    });
    pass(0.01);
    expect(await limiter.consume("k", { cost: 0.5 })).toMatchObject({
      source: "store",
      allowed: true,
    });
    expect(asked()).toBe(3);
  });

  test("counts from when the call was sent, not from when it was answered", async () => {
    const { limiter, pass, store } = setUp();
    await limiter.consume("k", { cost: 10 });
    const submit = store.submit.bind(store);
    // 30 ms on the way there, 40 ms on the way back.
    store.submit = (call, done) => {
      pass(30);
      submit(call, (outcome) => {
        pass(40);
        done(outcome);
      });
    };
    expect(await limiter.consume("k")).toMatchObject({ retryAfterMs: 970 });
    store.submit = submit;
    pass(899);
    expect(await limiter.consume("k")).toMatchObject({ source: "deny-cache", retryAfterMs: 71 });
    pass(1);
    expect(await limiter.consume("k")).toMatchObject({ source: "store", retryAfterMs: 30 });
  });

  test("is at most maxAge old, by default 1 s", async () => {
    for (const [denyCache, maxAgeMs] of [
      [undefined, 1000],
      [{ maxAge: "30ms" }, 30],
    ] as const) {
      const { limiter, pass } = setUp({ ...(denyCache && { denyCache }) });
      await drain(limiter, "k", 10);
      pass(maxAgeMs / 2 - 0.01);
      expect((await limiter.consume("k", { cost: 10 })).source).toBe("deny-cache");
      pass(maxAgeMs / 2 + 0.01);
      expect((await limiter.consume("k", { cost: 10 })).source).toBe("store");
    }
  });

  test("in its second half lets one call ask ahead, and refuses the others meanwhile", async () => {
    const { limiter, pass, asked } = setUp();
    await drain(limiter, "k", 10);
    pass(600);
    const before = asked();
    const burst = () =>
      Promise.all(Array.from({ length: 5 }, () => limiter.consume("k", { cost: 10 })));
    expect((await burst()).map(({ source }) => source)).toEqual([
      "store",
      ...Array.from({ length: 4 }, () => "deny-cache"),
    ]);
    expect(asked()).toBe(before + 1);
    pass(450);
    // The answer to who asked ahead counts from then.
    expect((await burst()).map(({ source }) => source)).toEqual(
      Array.from({ length: 5 }, () => "deny-cache"),
    );
  });

  test("ends when who asks ahead is admitted", async () => {
    const { limiter, pass, store } = setUp();
    const elsewhere = new RateLimiter({ policy, store: store.pure, identity: "sha256" });
    await drain(limiter, "k", 10);
    pass(600);
    await elsewhere.reset("k");
    expect((await limiter.consume("k", { cost: 10 })).allowed).toBe(true);
    await elsewhere.reset("k");
    expect((await limiter.consume("k", { cost: 10 })).allowed).toBe(true);
  });

  test("refuses costs from its own upwards, and no others", async () => {
    const { limiter, asked } = setUp();
    await limiter.consume("k", { cost: 8 });
    await limiter.consume("k", { cost: 3 });
    expect(asked()).toBe(2);
    expect((await limiter.consume("k", { cost: 3 })).source).toBe("deny-cache");
    expect((await limiter.consume("k", { cost: 9 })).source).toBe("deny-cache");
    expect(await limiter.consume("k", { cost: 2 })).toMatchObject({
      source: "store",
      allowed: true,
    });
    expect(await limiter.consume("k", { cost: 2 })).toMatchObject({
      source: "store",
      allowed: false,
    });
    // The smaller cost refuses more, so the larger one does not replace it.
    expect((await limiter.consume("k", { cost: 2 })).source).toBe("deny-cache");
    expect((await limiter.consume("k", { cost: 3 })).source).toBe("deny-cache");
    expect((await limiter.consume("k", { cost: 1.999 })).source).toBe("store");
  });

  test("of a cost that can never fit stays so", async () => {
    const { limiter, pass } = setUp();
    await limiter.consume("k", { cost: 11 });
    pass(300);
    expect(await limiter.consume("k", { cost: 12 })).toMatchObject({
      source: "deny-cache",
      reason: "too-costly",
      retryAfterMs: Number.POSITIVE_INFINITY,
      resetAfterMs: 0,
    });
    expect((await limiter.consume("k", { cost: 10 })).allowed).toBe(true);
  });

  test("of a blocked key says so; a refusal does not lengthen a block", async () => {
    const { limiter, pass, clock } = setUp({ blockFor: "2s" });
    const first = await drain(limiter);
    const endUs = clock.nowUs() + 2e6;
    expect(first).toMatchObject({ reason: "quota", retryAfterMs: 2000 });
    pass(1100);
    expect(await limiter.consume("k")).toMatchObject({ reason: "blocked", source: "store" });
    pass(100);
    const refused = await limiter.consume("k");
    expect(refused).toMatchObject({ reason: "blocked", source: "deny-cache" });
    expect(refused.decidedAtUs + refused.retryAfterMs * 1e3).toBe(endUs);
    pass(800);
    expect(await limiter.consume("k")).toMatchObject({ allowed: true, source: "store" });
  });

  test("of several policies keeps their verdicts, counted down", async () => {
    const policies = [
      tokenBucket({ name: "fast", limit: 10, period: "1s" }),
      fixedWindow({ name: "slow", limit: 10, window: "10s", align: "first" }),
    ];
    const { limiter, pass } = setUp({ policy: policies });
    const denial = await drain(limiter);
    pass(150);
    const refused = await limiter.consume("k");
    expect(refused).toEqual({
      ...denial,
      source: "deny-cache",
      retryAfterMs: 9850,
      resetAfterMs: 9850,
      decidedAtUs: denial.decidedAtUs + 150_000,
      policies: [
        { ...denial.policies?.[0], retryAfterMs: 1, resetAfterMs: 850 },
        { ...denial.policies?.[1], retryAfterMs: 9850, resetAfterMs: 9850 },
      ],
    });
    expect(denial.policies?.map(({ retryAfterMs }) => retryAfterMs)).toEqual([100, 10_000]);
  });

  test("is told to the hooks, and passes in shadow mode", async () => {
    const onDenied = vi.fn<(event: DecisionEvent) => void>();
    const { limiter } = setUp({ hooks: { onDenied }, enforce: false });
    await drain(limiter);
    const refused = await limiter.consume("k");
    expect(refused).toMatchObject({
      allowed: true,
      reason: "quota",
      retryAfterMs: 0,
      source: "deny-cache",
    });
    expect(onDenied.mock.calls.map(([{ decision }]) => decision.source)).toEqual([
      "store",
      "deny-cache",
    ]);
    expect(onDenied.mock.calls[1]?.[0]).toMatchObject({
      key: "k",
      decision: { allowed: false, retryAfterMs: 1000 },
    });
  });

  test("is of one key", async () => {
    const { limiter } = setUp();
    await drain(limiter);
    expect((await limiter.consume("j")).allowed).toBe(true);
  });

  test("does not hide misuse or an aborted signal", async () => {
    const { limiter } = setUp();
    await drain(limiter);
    await expect(limiter.consume("k", { cost: 1.00005 })).rejects.toThrow(InvalidOptionError);
    await expect(
      limiter.consume("k", { signal: AbortSignal.abort(new Error("gone")) }),
    ).rejects.toThrow("gone");
  });
});

describe("who reads and fills it", () => {
  test("consumeMany does both", async () => {
    const { limiter, asked } = setUp();
    await drain(limiter, "a");
    const answers = await limiter.consumeMany([{ key: "a" }, { key: "b", cost: 11 }, { key: "c" }]);
    expect(answers.map(({ source }) => source)).toEqual(["deny-cache", "store", "store"]);
    expect(asked()).toBe(4);
    expect((await limiter.consume("b", { cost: 11 })).source).toBe("deny-cache");
  });

  test("peek, consumeUpTo and the verbs that adjust do neither", async () => {
    const { limiter } = setUp();
    await limiter.consume("k", { cost: 10 });
    await limiter.peek("k");
    await limiter.consumeUpTo("k", { cost: 1 });
    expect((await limiter.consume("k")).source).toBe("store");
    expect((await limiter.consume("k")).source).toBe("deny-cache");
    expect((await limiter.peek("k")).source).toBe("store");
    expect((await limiter.consumeUpTo("k", { cost: 1 })).source).toBe("store");
    expect((await limiter.penalize("k", 0)).source).toBe("store");
  });

  test("degraded answers are not remembered", async () => {
    const { limiter, store } = setUp({ onStoreFailure: "closed" });
    store.behaviour = "fails";
    expect((await limiter.consume("k")).source).toBe("fail-closed");
    store.behaviour = "answers";
    expect((await limiter.consume("k")).allowed).toBe(true);
  });

  test("nobody with denyCache: false, nor on a store inside the process", async () => {
    const { limiter } = setUp({ denyCache: false });
    await drain(limiter);
    expect((await limiter.consume("k")).source).toBe("store");
    const inside = new RateLimiter({ policy, store: new MemoryStore(), denyCache: {} });
    await drain(inside);
    expect((await inside.consume("k")).source).toBe("store");
  });
});

describe("its size", () => {
  const refusal = {
    nowUs: 0,
    granted: 0,
    debits: [{ reason: 1, available: 0, waitUs: 5e6, resetUs: 5e6 }],
  };
  const denial: Decision = {
    allowed: false,
    reason: "quota",
    limit: 10,
    remaining: 0,
    retryAfterMs: 5000,
    resetAfterMs: 5000,
    decidedAtUs: 0,
    windowMs: 10_000,
    policy: "p",
    source: "store",
  };
  const bound = [{ name: "p", rule: {}, keyspace: {} }] as unknown as Parameters<
    DenyCache["ask"]
  >[1];
  const call = { debits: [{ cost: 1000 }] } as unknown as AskedCall["call"];
  const asked = (cache: DenyCache, key: string): AskedCall => {
    return { call, bound, atMs: performance.now(), clears: cache.ask(key, bound) };
  };

  function deny(cache: DenyCache, key: string, waitUs = 5e6): void {
    const debits = [{ ...refusal.debits[0], waitUs }] as typeof refusal.debits;
    cache.remember(key, asked(cache, key), { ...refusal, debits }, denial);
  }

  test("is bounded under a flood of keys: the oldest goes", () => {
    stopTime();
    const cache = new DenyCache({ maxKeys: 100 });
    for (let i = 0; i < 5000; i++) {
      deny(cache, `k${i}`);
      expect(cache.size).toBeLessThanOrEqual(100);
    }
    const kept = Array.from({ length: 5000 }, (_, i) => i).filter(
      (i) => cache.find(`k${i}`, 1000, bound) !== undefined,
    );
    expect(kept).toEqual(Array.from({ length: 100 }, (_, i) => 4900 + i));
  });

  test("is bounded in bytes too, however long keys come and go", () => {
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    const cache = new DenyCache({ maxKeys: 10_000 });
    // In real time: a clock that is spied on remembers each of its calls.
    const bytesAfter = (calls: number): number => {
      for (let i = 0; i < calls; i++) deny(cache, `k${i}`, 1000);
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    const before = bytesAfter(50_000);
    expect(bytesAfter(300_000) - before).toBeLessThan(10e6);
  });

  test("counts what is over first: who still holds stays", () => {
    const { pass } = stopTime();
    const cache = new DenyCache({ maxKeys: 100 });
    for (let i = 0; i < 50; i++) deny(cache, `long${i}`);
    for (let i = 0; i < 50; i++) deny(cache, `short${i}`, 1000);
    pass(2);
    // Each of these sweeps two: the first half of them makes room for all.
    for (let i = 0; i < 50; i++) deny(cache, `new${i}`);
    expect(cache.size).toBeLessThanOrEqual(100);
    const held = (name: string): number =>
      Array.from({ length: 50 }, (_, i) => cache.find(`${name}${i}`, 1000, bound)).filter(
        (found) => found !== undefined,
      ).length;
    expect(held("new")).toBe(50);
    expect(held("long")).toBeGreaterThanOrEqual(25);
  });

  test("has no place for very long keys", () => {
    stopTime();
    const cache = new DenyCache();
    deny(cache, "k".repeat(512));
    deny(cache, "k".repeat(513));
    expect(cache.size).toBe(1);
  });

  test("stays small through a flood of clears, none of which is missed", () => {
    stopTime();
    const cache = new DenyCache();
    const before = asked(cache, "first");
    cache.clear("first");
    for (let i = 0; i < 5000; i++) cache.clear(`k${i}`);
    cache.remember("first", before, refusal, denial);
    expect(cache.find("first", 1000, bound)).toBeUndefined();
    deny(cache, "first");
    expect(cache.find("first", 1000, bound)).toBeDefined();
  });
});

test.each([
  ["denyCache", { denyCache: true }],
  ["denyCache", { denyCache: null }],
  ["denyCache.max", { denyCache: { max: 1 } }],
  ["denyCache.maxAge", { denyCache: { maxAge: "1001ms" } }],
  ["denyCache.maxAge", { denyCache: { maxAge: 0 } }],
  ["denyCache.maxKeys", { denyCache: { maxKeys: 0 } }],
  ["denyCache.maxKeys", { denyCache: { maxKeys: 1.5 } }],
])("refuses a bad %s, and then claims no name", (option, bad) => {
  const store = new OutsideStore();
  const make = (more: object) => new RateLimiter({ policy, store, ...more });
  expect(() => make(bad)).toThrow(expect.objectContaining({ code: "INVALID_OPTION", option }));
  expect(() => make({ policy: tokenBucket({ limit: 1, period: 1 }) })).not.toThrow();
});

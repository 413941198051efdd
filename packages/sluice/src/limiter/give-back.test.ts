import { describe, expect, test } from "vitest";
import {
  type Decision,
  fixedWindow,
  InvalidOptionError,
  MemoryStore,
  type Policy,
  RateLimiter,
  tokenBucket,
} from "../index.js";
import { ManualClock } from "../testing/index.js";
import { OutsideStore } from "../../test/support/outside-store.js";

function limiterOf(...policy: readonly Policy[]): {
  clock: ManualClock;
  limiter: RateLimiter<MemoryStore>;
} {
  const clock = new ManualClock();
  return { clock, limiter: new RateLimiter({ policy, store: new MemoryStore({ clock }) }) };
}

const hundred = tokenBucket({ limit: 100, period: "1s", burst: 200 });
const refundedOf = async (answer: Promise<{ refunded: number }>): Promise<number> =>
  (await answer).refunded;

describe("refund says how much came back", () => {
  test("all of it, or what was in use", async () => {
    const { clock, limiter } = limiterOf(hundred);
    await limiter.consume("k", { cost: 100 });
    expect(await limiter.refund("k", 30.5)).toMatchObject({ refunded: 30.5, remaining: 130 });
    clock.advance(100);
    expect(await limiter.refund("k", 100)).toMatchObject({ refunded: 59.5, remaining: 200 });
    expect(await refundedOf(limiter.refund("k", 100))).toBe(0);
    expect(await refundedOf(limiter.refund("never seen", 100))).toBe(0);
  });

  test("what lies behind the last promised start, while somebody waits", async () => {
    const { limiter } = limiterOf(hundred);
    await limiter.consume("k", { cost: 200 });
    const waiting = await limiter.reserve("k");
    expect(waiting).toMatchObject({ allowed: true, delayMs: 10 });
    expect(await refundedOf(limiter.refund("k", 150))).toBe(150);
    expect(await refundedOf(limiter.refund("k", 150))).toBe(49);
    expect(await refundedOf(limiter.refund("k", 1))).toBe(0);
    expect(await limiter.consume("k", { cost: 198 })).toMatchObject({ allowed: true });
  });

  test("the least over several policies", async () => {
    const second = fixedWindow({ name: "second", limit: 10, window: "1s", align: "first" });
    const hour = tokenBucket({ name: "hour", limit: 3600, period: "1h", burst: 10 });
    const { clock, limiter } = limiterOf(second, hour);
    await limiter.consume("k", { cost: 5 });
    expect(await refundedOf(limiter.refund("k", 2))).toBe(2);
    clock.advance(1000);
    expect(await refundedOf(limiter.refund("k", 2))).toBe(0);
  });
});

describe("settle", () => {
  test.each([
    { reserved: 80, actual: 20, remaining: 180, refunded: 60 },
    { reserved: 80, actual: 95.5, remaining: 104, refunded: 0 },
    { reserved: 80, actual: 80, remaining: 120, refunded: 0 },
    { reserved: 0, actual: 150, remaining: 0, refunded: 0 },
  ])("$reserved taken, $actual used", async ({ reserved, actual, remaining, refunded }) => {
    const { limiter } = limiterOf(hundred);
    await limiter.consume("k", { cost: 80 });
    const usage = { reserved, actual };
    expect(await limiter.settle("k", usage)).toMatchObject({ remaining, refunded });
  });

  test.each([
    { what: "starts the block of blockFor where it leaves nothing", actual: 1, reason: "blocked" },
    { what: "goes into debt, and starts it", actual: 3, reason: "blocked" },
    { what: "starts none where something is left", actual: 0, reason: "ok" },
    { what: "starts none without blockFor", actual: 1, blockFor: undefined, reason: "ok" },
    { what: "starts none for a denial", actual: 1, of: { reason: "quota" }, reason: "ok" },
  ])("$what", async ({ what, actual, reason, of, ...options }) => {
    const policy = tokenBucket({ limit: 2, period: "1h" });
    const clock = new ManualClock();
    const logins = new RateLimiter({
      policy,
      store: new MemoryStore({ clock }),
      blockFor: "1d",
      ...options,
    });
    const [first] = [await logins.consume("k", { settle: true }), await logins.consume("k")];
    await logins.settle("k", { reserved: 1, actual, of: { ...first, ...of } as Decision });
    expect((await logins.peek("k", { cost: 0 })).reason, what).toBe(reason);
  });

  test("asks the store once", async () => {
    const store = new OutsideStore();
    const limiter = new RateLimiter({ policy: hundred, store });
    for (const actual of [0, 5, 9]) await limiter.settle("k", { reserved: 5, actual });
    expect(store.calls).toHaveLength(3);
  });

  test.each([
    ["reserved", { actual: 1 }],
    ["reserved", { reserved: -1, actual: 1 }],
    ["actual", { reserved: 1, actual: Number.NaN }],
    ["actual", { reserved: 1, actual: 0.0001 }],
    ["atual", { reserved: 1, atual: 1 }],
    ["of", { reserved: 2, actual: 1, of: true }],
    ["of", { reserved: 2, actual: 1, of: null }],
    ["settlement", 5],
  ])("refuses a wrong %s: %j", async (option, settlement) => {
    const { limiter } = limiterOf(hundred);
    const error = await limiter.settle("k", settlement as never).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect((error as InvalidOptionError).option).toContain(option);
  });
});

describe("of: units go back where they were taken", () => {
  test.each([
    { reason: "quota", source: "store" },
    { reason: "quota", source: "deny-cache" },
    { reason: "store", source: "fail-open" },
    { reason: "store", source: "fail-closed" },
  ] as const)("nothing comes back of a decision that took nothing: $source", async (taken) => {
    const { limiter } = limiterOf(hundred);
    const decision = await limiter.consume("k", { cost: 50 });
    const of: Decision = { ...decision, ...taken };
    expect(await limiter.refund("k", 50, { of })).toMatchObject({ refunded: 0, remaining: 150 });
    const settlement = { reserved: 1, actual: 50, of };
    expect(await limiter.settle("k", settlement)).toMatchObject({ refunded: 0, remaining: 150 });
  });

  test("of the store or of prefetched units: to the store", async () => {
    const { limiter } = limiterOf(hundred);
    const decision = await limiter.consume("k", { cost: 50 });
    for (const source of ["store", "prefetch"] as const) {
      expect(await refundedOf(limiter.refund("k", 10, { of: { ...decision, source } }))).toBe(10);
    }
  });

  test("of a fallback: to the fallback, also when the store is back; and not to it what the store took", async () => {
    const store = new OutsideStore();
    const fallback = new RateLimiter({ policy: hundred });
    const limiter = new RateLimiter({
      policy: hundred,
      store,
      breaker: false,
      onStoreFailure: { fallback },
    });
    const byStore = await limiter.consume("k", { cost: 100 });
    store.behaviour = "fails";
    const byFallback = await limiter.consume("k", { cost: 100 });
    expect([byStore.source, byFallback.source]).toEqual(["store", "fallback"]);
    expect(await refundedOf(limiter.refund("k", 10, { of: byStore }))).toBe(0);
    store.behaviour = "answers";
    const answer = await limiter.refund("k", 10, { of: byFallback });
    expect(answer).toMatchObject({ refunded: 10, source: "fallback" });
  });

  test.each(["open", "closed"] as const)(
    "lost while the store is away, and said: %s",
    async (onStoreFailure) => {
      const store = new OutsideStore();
      const limiter = new RateLimiter({ policy: hundred, store, breaker: false, onStoreFailure });
      const of = await limiter.consume("k", { cost: 100 });
      store.behaviour = "fails";
      expect(await limiter.refund("k", 10, { of })).toMatchObject({ refunded: 0, reason: "store" });
    },
  );
});

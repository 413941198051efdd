import { describe, expect, expectTypeOf, test, vi } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  type Decision,
  fixedWindow,
  gcra,
  leakyBucket,
  MemoryStore,
  type Policy,
  RateLimiter,
  type RateLimiterOptions,
  slidingLog,
  tokenBucket,
} from "../index.js";
import { ManualClock } from "../testing/index.js";

const policy = tokenBucket({ limit: 10, period: "1h" });

function limiterOf(options: Partial<RateLimiterOptions> = {}): {
  limiter: RateLimiter<MemoryStore>;
  clock: ManualClock;
} {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  return { clock, limiter: new RateLimiter({ policy, ...options, store }) };
}

describe("consume", () => {
  test("takes one unit unless told otherwise", async () => {
    const { limiter } = limiterOf();
    expect((await limiter.consume("k")).remaining).toBe(9);
    expect((await limiter.consume("k", {})).remaining).toBe(8);
    expect((await limiter.consume("k", { cost: 2.5 })).remaining).toBe(5);
  });

  test("and consumeSync answer alike", async () => {
    const [one, two] = [limiterOf().limiter, limiterOf().limiter];
    for (const cost of [3, 0, 11, 5, 5, 2]) {
      expect(await one.consume("k", { cost })).toEqual(two.consumeSync("k", { cost }));
    }
  });

  test("answers with a decision of its own, which later calls do not change", () => {
    const { limiter } = limiterOf();
    const first = limiter.consumeSync("k");
    const picture = { ...first };
    limiter.consumeSync("k", { cost: 9 });
    limiter.consumeSync("k", { cost: 9 });
    expect(first).toEqual(picture);
  });

  test("keeps keys apart", () => {
    const { limiter } = limiterOf();
    limiter.consumeSync("a", { cost: 10 });
    expect(limiter.consumeSync("b").remaining).toBe(9);
  });

  test("says which policy decided, on what, when", () => {
    const { limiter, clock } = limiterOf();
    expect(limiter.consumeSync("k", { cost: 4 })).toEqual({
      allowed: true,
      reason: "ok",
      limit: 10,
      remaining: 6,
      retryAfterMs: 0,
      resetAfterMs: 1_440_000,
      decidedAtUs: clock.nowUs(),
      windowMs: 3_600_000,
      policy: "token-bucket",
      source: "store",
    } satisfies Decision);
  });

  test("runs on the machine's clock and a store of its own unless told otherwise", async () => {
    await using limiter = new RateLimiter({ policy });
    expect(limiter.store).toBeInstanceOf(MemoryStore);
    expectTypeOf(limiter.store).toEqualTypeOf<MemoryStore>();
    const { decidedAtUs } = limiter.consumeSync("k");
    expect(Math.abs(decidedAtUs / 1e3 - Date.now())).toBeLessThan(60_000);
  });
});

describe("peek", () => {
  test("says what consume would, and writes nothing", async () => {
    const { limiter } = limiterOf();
    for (const cost of [1, 10, 11]) {
      const peeked = await limiter.peek("k", { cost });
      expect(peeked).toMatchObject({ allowed: cost <= 10, remaining: 10 });
    }
    expect(limiter.store.size).toBe(0);
    limiter.consumeSync("k", { cost: 10 });
    const peeked = await limiter.peek("k");
    expect(peeked).toEqual(limiter.consumeSync("k"));
  });
});

describe("consumeUpTo", () => {
  test("grants what there is, up to the cost", async () => {
    const { limiter } = limiterOf();
    expect(await limiter.consumeUpTo("k", { cost: 7 })).toMatchObject({ granted: 7, remaining: 3 });
    expect(await limiter.consumeUpTo("k", { cost: 7 })).toMatchObject({ granted: 3, remaining: 0 });
    expect(await limiter.consumeUpTo("k", { cost: 7 })).toMatchObject({
      granted: 0,
      allowed: false,
      reason: "quota",
      retryAfterMs: 360_000,
    });
  });

  test("grants whole units, the least over all policies", async () => {
    const { limiter } = limiterOf({
      policy: [
        tokenBucket({ name: "a", limit: 10, period: "1h" }),
        gcra({ name: "b", limit: 10, period: "1h", burst: 4.9 }),
        fixedWindow({ name: "c", limit: 6, window: "1h" }),
      ],
    });
    const grant = await limiter.consumeUpTo("k", { cost: 100 });
    expect(grant).toMatchObject({ granted: 4, policy: "b" });
    expect(grant.policies?.map(({ remaining }) => remaining)).toEqual([6, 0, 2]);
  });

  test("takes more than any policy could give, and a cost too high for one to fit", async () => {
    const { limiter } = limiterOf();
    expect(await limiter.consumeUpTo("k", { cost: 1e9 })).toMatchObject({ granted: 10 });
  });

  test("grants nothing to a key that is blocked, or where one unit can never fit", async () => {
    const { limiter } = limiterOf();
    await limiter.block("k", "1m");
    expect(await limiter.consumeUpTo("k", { cost: 5 })).toMatchObject({
      granted: 0,
      reason: "blocked",
    });
    const small = limiterOf({ policy: gcra({ limit: 1, period: "1s", burst: 0.5 }) }).limiter;
    expect(await small.consumeUpTo("k", { cost: 5 })).toMatchObject({
      granted: 0,
      reason: "too-costly",
      retryAfterMs: Number.POSITIVE_INFINITY,
    });
  });
});

describe("consumeMany", () => {
  test("answers independent requests in their order, each key once and again", async () => {
    const { limiter } = limiterOf();
    const decisions = await limiter.consumeMany([
      { key: "a", cost: 8 },
      { key: "b" },
      { key: "a", cost: 8 },
      { key: "a" },
    ]);
    expect(decisions.map(({ allowed, remaining }) => [allowed, remaining])).toEqual([
      [true, 2],
      [true, 9],
      [false, 2],
      [true, 1],
    ]);
  });

  test("of nothing is nothing", async () => {
    expect(await limiterOf().limiter.consumeMany([])).toEqual([]);
  });

  test("blocks after a denial as consume does", async () => {
    const { limiter } = limiterOf({ blockFor: "1m" });
    const decisions = await limiter.consumeMany([
      { key: "a", cost: 10 },
      { key: "a" },
      { key: "a" },
    ]);
    expect(decisions.map(({ reason }) => reason)).toEqual(["ok", "quota", "blocked"]);
  });
});

describe("refund and penalize", () => {
  test("answer as a peek at cost 0 right after would", async () => {
    const { limiter } = limiterOf();
    limiter.consumeSync("k", { cost: 5 });
    for (const act of [
      () => limiter.refund("k", 2.5),
      () => limiter.penalize("k", 20),
      () => limiter.refund("k", 0),
      () => limiter.refund("k", 100),
    ]) {
      const answer = await act();
      expect(answer).toMatchObject(await limiter.peek("k", { cost: 0 }));
    }
  });
});

describe("block, unblock and reset", () => {
  test("do what they say", async () => {
    const { limiter, clock } = limiterOf();
    await limiter.block("k", "1m");
    expect(limiter.consumeSync("k")).toMatchObject({ reason: "blocked", retryAfterMs: 60_000 });
    clock.advance(30_000);
    expect(limiter.consumeSync("k")).toMatchObject({ reason: "blocked", retryAfterMs: 30_000 });
    await limiter.unblock("k");
    limiter.consumeSync("k", { cost: 10 });
    await limiter.reset("k");
    expect(limiter.store.size).toBe(0);
    expect(limiter.consumeSync("k").remaining).toBe(9);
  });
});

describe("a block that keeps longer ones", () => {
  test("makes none shorter, and replaces those that end before it", async () => {
    const { limiter } = limiterOf();
    const keepLonger = true;
    await limiter.block("k", "1m", { keepLonger });
    await limiter.block("k", "2s", { keepLonger });
    expect(limiter.consumeSync("k").retryAfterMs).toBe(60_000);
    await limiter.block("k", "2m", { keepLonger });
    expect(limiter.consumeSync("k").retryAfterMs).toBe(120_000);
    await limiter.block("k", "2s");
    expect(limiter.consumeSync("k").retryAfterMs).toBe(2000);
  });

  test("says what is wrong with its options", async () => {
    const { limiter } = limiterOf();
    await expect(limiter.block("k", 1, { keepLonger: 1 } as object)).rejects.toThrow("keepLonger");
    await expect(limiter.block("k", 1, { longer: true } as object)).rejects.toThrow("longer");
  });
});

describe("blockFor", () => {
  test("blocks the key after a denial for lack of quota", () => {
    const { limiter, clock } = limiterOf({ blockFor: "2h" });
    limiter.consumeSync("k", { cost: 10 });
    expect(limiter.consumeSync("k")).toMatchObject({ reason: "quota", retryAfterMs: 7_200_000 });
    clock.advance(3_600_000);
    expect(limiter.consumeSync("k")).toMatchObject({ reason: "blocked", retryAfterMs: 3_600_000 });
    clock.advance(3_600_000);
    expect(limiter.consumeSync("k")).toMatchObject({ reason: "ok", remaining: 9 });
  });

  test("does not block for a cost that can never fit, nor after a peek", async () => {
    const { limiter } = limiterOf({ blockFor: "2h" });
    limiter.consumeSync("k", { cost: 11 });
    limiter.consumeSync("k", { cost: 10 });
    await limiter.peek("k");
    expect(await limiter.peek("k")).toMatchObject({ reason: "quota", retryAfterMs: 360_000 });
  });

  test("does not block for a call of cost 0, which only asks", async () => {
    const { limiter } = limiterOf({ blockFor: "2h" });
    await limiter.penalize("k", 11);
    expect(limiter.consumeSync("k", { cost: 0 })).toMatchObject({
      reason: "quota",
      retryAfterMs: 360_000,
    });
    expect(await limiter.peek("k", { cost: 0 })).toMatchObject({ reason: "quota" });
  });
});

describe("shadow mode", () => {
  test("decides, counts and says why, but always allows", () => {
    const { limiter } = limiterOf({ enforce: false });
    limiter.consumeSync("k", { cost: 9 });
    expect(limiter.consumeSync("k", { cost: 5 })).toMatchObject({
      allowed: true,
      reason: "quota",
      remaining: 1,
      retryAfterMs: 0,
    });
    expect(limiter.consumeSync("k", { cost: 11 })).toMatchObject({
      allowed: true,
      reason: "too-costly",
      retryAfterMs: 0,
    });
    // Units that were not available were not charged either.
    expect(limiter.consumeSync("k")).toMatchObject({ allowed: true, reason: "ok", remaining: 0 });
  });

  test("holds for blocked keys too", async () => {
    const { limiter } = limiterOf({ enforce: false });
    await limiter.block("k", "1m");
    expect(limiter.consumeSync("k")).toMatchObject({ allowed: true, reason: "blocked" });
  });

  test("leaves peek's verdict as it is: it is asked for the truth", async () => {
    const { limiter } = limiterOf({ enforce: false });
    limiter.consumeSync("k", { cost: 10 });
    expect(await limiter.peek("k")).toMatchObject({ allowed: false, reason: "quota" });
  });
});

describe("a policy for one call", () => {
  test("takes the place of the only one, whatever its name", () => {
    const { limiter } = limiterOf();
    limiter.consumeSync("k", { cost: 10 });
    const twenty = tokenBucket({ limit: 20, period: "1h" });
    const named = tokenBucket({ name: "premium", limit: 30, period: "1h" });
    expect(limiter.consumeSync("k", { policy: twenty })).toMatchObject({ limit: 20, remaining: 9 });
    expect(limiter.consumeSync("k", { policy: named })).toMatchObject({
      limit: 30,
      remaining: 18,
      policy: "token-bucket",
    });
    expect(limiter.consumeSync("k")).toMatchObject({ allowed: false, limit: 10 });
  });

  test("holds for consumeUpTo and peek as well", async () => {
    const { limiter } = limiterOf();
    const twenty = tokenBucket({ limit: 20, period: "1h" });
    const { granted } = await limiter.consumeUpTo("k", { cost: 99, policy: twenty });
    expect(granted).toBe(20);
    expect(await limiter.peek("k", { policy: twenty })).toMatchObject({ limit: 20, remaining: 0 });
  });

  test("may be a plain value, as from JSON, that changes from call to call", () => {
    const { limiter } = limiterOf();
    const plain = { ...policy, limit: 10, burst: 10 };
    for (const burst of [3, 2]) {
      plain.burst = burst;
      expect(limiter.consumeSync("k", { policy: plain }).limit).toBe(burst);
    }
  });

  test("is matched by name where there are several, and leaves the others as they are", () => {
    const { limiter } = limiterOf({
      policy: [
        tokenBucket({ name: "burst", limit: 5, period: "1s" }),
        fixedWindow({ name: "daily", limit: 100, window: "1d" }),
      ],
    });
    const wide = tokenBucket({ name: "burst", limit: 50, period: "1s" });
    const decision = limiter.consumeSync("k", { cost: 20, policy: wide });
    expect(decision.policies).toMatchObject([
      { policy: "burst", limit: 50, remaining: 30 },
      { policy: "daily", limit: 100, remaining: 80 },
    ]);
    const day = fixedWindow({ name: "daily", limit: 1000, window: "1d" });
    expect(limiter.consumeSync("k", { cost: 1, policy: [day, wide] }).policies).toMatchObject([
      { policy: "burst", limit: 50 },
      { policy: "daily", limit: 1000, remaining: 979 },
    ]);
    expect(() => limiter.consumeSync("k", { policy: gcra({ limit: 1, period: "1s" }) })).toThrow(
      expect.objectContaining({
        option: "policy.name",
        value: "gcra",
        allowed: expect.stringContaining("burst, daily") as unknown,
      }),
    );
  });

  test("of another algorithm has a key of its own", () => {
    const { limiter } = limiterOf();
    limiter.consumeSync("k", { cost: 10 });
    const log = slidingLog({ limit: 10, window: "1h" });
    expect(limiter.consumeSync("k", { policy: log })).toMatchObject({ remaining: 9 });
    expect(limiter.consumeSync("k").allowed).toBe(false);
    expect(limiter.consumeSync("k", { policy: log })).toMatchObject({ remaining: 8 });
  });

  test("leaves no claim on the name: it is this call's alone", () => {
    const { limiter } = limiterOf();
    const eleven = tokenBucket({ limit: 11, period: "1h" });
    limiter.consumeSync("k", { policy: eleven });
    expect(new RateLimiter({ policy, store: limiter.store })).toBeInstanceOf(RateLimiter);
  });
});

describe("a policy by key", () => {
  const tiers: Readonly<Record<string, Policy>> = {
    free: tokenBucket({ name: "free", limit: 2, period: "1h" }),
    paid: leakyBucket({ name: "paid", limit: 20, period: "1h", capacity: 20 }),
  };
  const choose = (key: string): Policy => tiers[key.split(":")[0] as string] as Policy;

  test("is asked with the key as given, and decides", () => {
    const seen = vi.fn(choose);
    const { limiter } = limiterOf({ policy: seen });
    expect(limiter.consumeSync("free:ann")).toMatchObject({ policy: "free", remaining: 1 });
    expect(limiter.consumeSync("paid:bob")).toMatchObject({ policy: "paid", remaining: 19 });
    expect(limiter.consumeSync("free:ann")).toMatchObject({ remaining: 0 });
    expect(seen.mock.calls).toEqual([["free:ann"], ["paid:bob"], ["free:ann"]]);
  });

  test("may be several, and change with time", () => {
    let limit = 5;
    const { limiter } = limiterOf({
      policy: () => [
        tokenBucket({ name: "a", limit, period: "1h" }),
        fixedWindow({ name: "b", limit: 100, window: "1d" }),
      ],
    });
    limiter.consumeSync("k", { cost: 5 });
    limit = 8;
    expect(limiter.consumeSync("k").policies).toMatchObject([{ remaining: 2 }, { remaining: 94 }]);
  });

  test("can be overridden by a call", () => {
    const { limiter } = limiterOf({ policy: choose });
    const more = tokenBucket({ name: "free", limit: 3, period: "1h" });
    limiter.consumeSync("free:ann", { cost: 2 });
    expect(limiter.consumeSync("free:ann", { policy: more })).toMatchObject({ remaining: 0 });
  });

  test("lets what it throws through", async () => {
    const { limiter } = limiterOf({
      policy: () => {
        throw new Error("no such tenant");
      },
    });
    await expect(limiter.consume("k")).rejects.toThrow("no such tenant");
  });
});

describe("close", () => {
  test("closes a store that the limiter made, and leaves one that was passed in open", async () => {
    const store = new OutsideStore();
    await new RateLimiter({ policy, store }).close();
    expect(store.isClosed).toBe(false);
    const own = new RateLimiter({ policy });
    const closed = vi.spyOn(own.store, "close");
    await own.close();
    expect(closed).toHaveBeenCalledOnce();
  });

  test("is what disposal does", async () => {
    const store = new OutsideStore();
    {
      await using limiter = new RateLimiter({ policy, store });
      await limiter.consume("k");
    }
    expect(
      new RateLimiter({ policy: tokenBucket({ limit: 11, period: "1h" }), store }),
    ).toBeInstanceOf(RateLimiter);
  });
});

describe("consumeSync", () => {
  test("is refused on a store outside the process, where types did not", () => {
    const limiter = new RateLimiter({ policy, store: new OutsideStore() });
    expect(() => (limiter as unknown as RateLimiter<MemoryStore>).consumeSync("k")).toThrow(
      expect.objectContaining({ option: "store" }),
    );
  });
});

describe("verbs taken off the limiter", () => {
  test("fail clearly rather than on another's state", async () => {
    const { limiter } = limiterOf();
    // oxlint-disable-next-line typescript/unbound-method
    const { consume } = limiter;
    await expect(consume("k")).rejects.toThrow(TypeError);
  });
});

test("grants all that is asked in shadow mode, and tells the hooks what it would have been", async () => {
  const told: unknown[] = [];
  const limiter = new RateLimiter({
    policy: tokenBucket({ limit: 3, period: "1h" }),
    enforce: false,
    hooks: { onAllowed: ({ decision }) => told.push(decision) },
  });
  const first = await limiter.consumeUpTo("k", { cost: 5 });
  const second = await limiter.consumeUpTo("k", { cost: 5 });
  expect(first).toMatchObject({ allowed: true, granted: 5, reason: "ok" });
  expect(second).toMatchObject({ allowed: true, granted: 5, reason: "quota" });
  expect(told).toMatchObject([{ allowed: true, granted: 3 }]);
});

/** A limiter's policy changes while it is in use: units stay, and nothing old answers. */
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  fixedWindow,
  InvalidOptionError,
  leakyBucket,
  MemoryStore,
  type Policy,
  RateLimiter,
  type RateLimiterOptions,
  tokenBucket,
} from "../index.js";
import { ManualClock } from "../testing/index.js";

const ten = tokenBucket({ name: "api", limit: 10, period: "10s" });
const three = tokenBucket({ name: "api", limit: 3, period: "10s" });
const twenty = tokenBucket({ name: "api", limit: 20, period: "10s" });
const window = fixedWindow({ name: "window", limit: 5, window: "1h" });

function limiterOf(options: Partial<RateLimiterOptions> = {}): RateLimiter {
  return new RateLimiter({
    policy: ten,
    store: new MemoryStore({ clock: new ManualClock() }),
    ...options,
  });
}

describe("setPolicy", () => {
  test("decides from the next call on, and units in use stay", async () => {
    const limiter = limiterOf();
    await limiter.consume("k", { cost: 8 });
    limiter.setPolicy(twenty);
    expect(await limiter.consume("k")).toMatchObject({ limit: 20, remaining: 11 });
    limiter.setPolicy(three);
    expect(await limiter.consume("k")).toMatchObject({ allowed: false, limit: 3, remaining: 0 });
    limiter.setPolicy(ten);
    expect(await limiter.consume("k")).toMatchObject({ allowed: true, remaining: 0 });
  });

  test.each([
    ["a value to a function", ten, () => three],
    ["a function to a value", () => ten, three],
    ["one to several", ten, [three, window]],
    ["several to one", [ten, window], three],
    ["of each call to one", undefined, three],
    ["to one on trial beside another", ten, [three, { ...window, enforce: false }]],
  ] as const)("goes from %s", async (_, before, after) => {
    const limiter = limiterOf({ policy: before as Policy });
    if (before !== undefined) await limiter.consume("k", { cost: 2 });
    limiter.setPolicy(after);
    const { remaining, limit } = await limiter.consume("k");
    expect([remaining, limit]).toEqual(before === undefined ? [2, 3] : [0, 3]);
    expect((await limiter.policies("k"))[0]).toEqual(three);
  });

  test("decides calls under way by what was before, and their policies claim nothing", async () => {
    const store = new OutsideStore();
    let answer: (policy: Policy) => void = () => {};
    const limiter = new RateLimiter({
      store,
      policy: () => new Promise<Policy>((resolve) => (answer = resolve)),
    });
    const under = limiter.consume("k");
    limiter.setPolicy(three);
    answer(tokenBucket({ name: "old", limit: 7, period: "1s" }));
    expect(await under).toMatchObject({ policy: "old", limit: 7 });
    expect(await limiter.consume("k")).toMatchObject({ policy: "api", limit: 3 });
    limiterOf({ store, policy: fixedWindow({ name: "old", limit: 1, window: "1h" }) });
    const sent = limiter.consume("k");
    limiter.setPolicy(ten);
    expect(await sent).toMatchObject({ limit: 3 });
  });

  test.each([
    ["nothing", undefined],
    ["no policy", { algorithm: "warmup" }],
    ["a list with one that is none", [window, { algorithm: "gcra", limit: -1, period: 1 }]],
    ["two of one name", [ten, three]],
  ])("changes nothing where it is given %s", async (_, policy) => {
    const limiter = limiterOf();
    const heard = vi.fn();
    limiter.events.on("policies", heard);
    expect(() => limiter.setPolicy(policy as never)).toThrow(InvalidOptionError);
    expect(() => limiter.setPolicy(three, { who: "ana" } as never)).toThrow(InvalidOptionError);
    expect(limiter.policies("k")).toEqual([ten]);
    expect(await limiter.consume("k")).toMatchObject({ limit: 10, remaining: 9 });
    expect(heard).not.toHaveBeenCalled();
  });

  test("moves its claim, and is refused where another limiter holds the name", async () => {
    const store = new MemoryStore();
    const limiter = limiterOf({ store });
    limiter.setPolicy(three);
    limiterOf({ store, policy: three });
    expect(() => limiter.setPolicy([window, twenty])).toThrow("another limiter of this store");
    expect(limiter.policies("k")).toEqual([three]);
    expect(limiter.stats().policies[0]?.limit).toBe(3);
    // Its own claim was taken back, and that of the window given up.
    expect(() => new RateLimiter({ store, policy: ten })).toThrow("another limiter of this store");
    limiterOf({ store, policy: fixedWindow({ name: "window", limit: 1, window: "1h" }) });
    const taker = new RateLimiter({ store, policy: three, replace: true });
    taker.setPolicy(twenty);
    expect((await taker.consume("k")).limit).toBe(20);
    await limiter.close();
    expect(() => limiter.setPolicy(ten)).toThrow("closed");
  });

  test("ends what the deny cache and a prefetch would say by the old policy", async () => {
    const store = new OutsideStore();
    const limiter = new RateLimiter({ store, policy: three });
    await limiter.consume("k", { cost: 3 });
    await limiter.consume("k", { cost: 3 });
    expect((await limiter.consume("k", { cost: 3 })).source).toBe("deny-cache");
    limiter.setPolicy(ten);
    expect(await limiter.consume("k", { cost: 3 })).toMatchObject({
      allowed: true,
      source: "store",
    });
    const ahead = new RateLimiter({
      store,
      namespace: "ahead",
      policy: ten,
      prefetch: { size: 5, ttl: "1m" },
    });
    onTestFinished(() => ahead.close());
    await ahead.consume("k");
    expect((await ahead.consume("k")).source).toBe("prefetch");
    ahead.setPolicy(three);
    const { length } = store.calls;
    expect((await ahead.consume("k")).limit).toBe(3);
    expect(store.calls.length).toBeGreaterThan(length);
  });

  test("is known to who waits, once it asks again", async () => {
    const clock = new ManualClock();
    const limiter = limiterOf({ policy: window, store: new MemoryStore({ clock }) });
    await limiter.consume("k", { cost: 5 });
    const waiting = limiter.acquire("k");
    await turn();
    limiter.setPolicy(fixedWindow({ name: "window", limit: 9, window: "1h" }));
    clock.advance(3_600_000);
    expect(await waiting).toMatchObject({ limit: 9, remaining: 8 });
  });

  test("leaves the starts that were promised as they are", async () => {
    const clock = new ManualClock();
    const slow = leakyBucket({ name: "line", limit: 1, period: "10s", capacity: 3 });
    const limiter = limiterOf({ policy: slow, store: new MemoryStore({ clock }) });
    await limiter.acquire("k");
    const second = limiter.acquire("k");
    await turn();
    limiter.setPolicy(leakyBucket({ name: "line", limit: 1, period: "1h", capacity: 3 }));
    clock.advance(10_000);
    expect((await second).lateMs).toBe(0);
  });

  test("tells listeners who changed what", () => {
    const limiter = limiterOf({ namespace: "orders" });
    const heard = vi.fn();
    limiter.events.on("policies", heard);
    limiter.setPolicy([three, window], { by: "ana" });
    limiter.setPolicy(() => ten);
    expect(heard.mock.calls).toEqual([
      [
        {
          limiter: "orders",
          policies: ["api", "window"],
          before: [ten],
          after: [three, window],
          by: "ana",
        },
      ],
      [
        {
          limiter: "orders",
          policies: [],
          before: [three, window],
          after: undefined,
          by: undefined,
        },
      ],
    ]);
  });

  test("forgets what an earlier function promised", async () => {
    const limiter = limiterOf({ policy: async () => ten });
    await limiter.consume("k");
    limiter.setPolicy(async () => three);
    expect((await limiter.consume("k")).limit).toBe(3);
  });

  test("is known to consumeSync at once", () => {
    const limiter = new RateLimiter({ policy: ten });
    limiter.consumeSync("k");
    limiter.setPolicy(three);
    expect(limiter.consumeSync("k").limit).toBe(3);
    limiter.setPolicy(() => twenty);
    expect(limiter.consumeSync("k").limit).toBe(20);
  });
});

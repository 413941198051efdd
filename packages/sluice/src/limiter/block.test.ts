/** Permanent blocks, and blocks that forget what is in use. */
import { describe, expect, test } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  fixedWindow,
  leakyBucket,
  MaxWaitExceededError,
  MemoryStore,
  RateLimiter,
  type RateLimiterOptions,
  slidingLog,
  slidingWindow,
  type Store,
  tokenBucket,
  unlimited,
} from "../index.js";
import { ManualClock, PureStore } from "../testing/index.js";

const YEAR_MS = 365 * 86_400e3;
const HOUR_MS = 3_600_000;
const blocked = { allowed: false, reason: "blocked", retryAfterMs: Number.POSITIVE_INFINITY };

const policies = [
  tokenBucket({ limit: 10, period: "365d" }),
  tokenBucket({ limit: 10, period: "1s", refill: "interval" }),
  leakyBucket({ limit: 10, period: "1s", capacity: 10 }),
  fixedWindow({ limit: 10, window: "1s", align: "first" }),
  slidingWindow({ limit: 10, window: "1s" }),
  slidingLog({ limit: 10, window: "1s" }),
  unlimited(),
] as const;

const stores: readonly (readonly [string, (clock: ManualClock) => Store])[] = [
  ["memory", (clock) => new MemoryStore({ clock })],
  ["the pure kernels", (clock) => new PureStore(clock)],
  ["a store outside", (clock) => new OutsideStore(clock)],
];

describe.each(stores)("in %s", (_, storeOf) => {
  const start = (options: Partial<RateLimiterOptions> = {}) => {
    const clock = new ManualClock();
    const limiter = new RateLimiter({
      policy: tokenBucket({ limit: 10, period: "365d" }),
      store: storeOf(clock),
      denyCache: false,
      ...options,
    });
    return { clock, limiter };
  };

  test.each(policies)("a block for good ends by unblock and reset alone: %o", async (policy) => {
    for (const verb of ["unblock", "reset"] as const) {
      const { clock, limiter } = start({ policy });
      await limiter.block("k", Number.POSITIVE_INFINITY);
      for (const ms of [0, HOUR_MS, 20 * YEAR_MS, 40 * YEAR_MS]) {
        clock.advance(ms);
        expect(await limiter.consume("k")).toMatchObject(blocked);
        expect(await limiter.peek("k", { cost: 0 })).toMatchObject(blocked);
      }
      expect((await limiter.peek("other")).reason).not.toBe("blocked");
      await limiter[verb]("k");
      expect((await limiter.peek("k")).reason).not.toBe("blocked");
    }
  });

  test("a shorter block that keeps longer ones leaves it, and another one takes its place", async () => {
    const { clock, limiter } = start();
    await limiter.block("k", Number.POSITIVE_INFINITY);
    await limiter.block("k", "1s", { keepLonger: true });
    clock.advance(HOUR_MS);
    expect(await limiter.peek("k")).toMatchObject(blocked);
    await limiter.block("k", "1s");
    clock.advance(1000);
    expect((await limiter.peek("k")).allowed).toBe(true);
  });

  test("blockFor may be for good", async () => {
    const { clock, limiter } = start({ blockFor: Number.POSITIVE_INFINITY });
    await limiter.consume("k", { cost: 10 });
    const { reason, retryAfterMs } = await limiter.consume("k");
    expect({ reason, retryAfterMs }).toEqual({ reason: "quota", retryAfterMs: Infinity });
    clock.advance(60 * YEAR_MS);
    expect(await limiter.consume("k")).toMatchObject(blocked);
  });

  test("nobody waits for the end of one", async () => {
    const { limiter } = start();
    await limiter.block("k", Number.POSITIVE_INFINITY);
    const waiting = limiter.acquire("k", { maxWait: "365d" });
    await expect(waiting).rejects.toThrow(MaxWaitExceededError);
    await expect(waiting).rejects.toMatchObject({ retryAfterMs: Number.POSITIVE_INFINITY });
  });

  test.each(policies.filter((policy) => "limit" in policy))(
    "a block with reset forgets what is in use, and one without does not: %o",
    async (policy) => {
      const { clock, limiter } = start({ policy });
      const left = async (key: string): Promise<number> =>
        (await limiter.peek(key, { cost: 0 })).remaining;
      for (const key of ["kept", "forgotten", "still blocked"]) {
        await limiter.consume(key, { cost: 9 });
        await limiter.block(key, key === "still blocked" ? 20 : 5);
      }
      await limiter.block("kept", 5, { reset: false });
      await limiter.block("forgotten", 5, { reset: true });
      await limiter.block("still blocked", 5, { reset: true, keepLonger: true });
      expect(await Promise.all(["kept", "forgotten", "still blocked"].map(left))).toEqual([
        1, 10, 10,
      ]);
      expect((await limiter.peek("forgotten")).reason).toBe("blocked");
      clock.advance(5);
      expect((await limiter.peek("forgotten", { cost: 10 })).reason).toBe("ok");
      expect((await limiter.peek("still blocked")).reason).toBe("blocked");
      clock.advance(15);
      expect((await limiter.peek("still blocked", { cost: 10 })).reason).toBe("ok");
    },
  );
});

test("a block for good is one to consumeSync too", async () => {
  const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }) });
  await limiter.block("k", Number.POSITIVE_INFINITY);
  expect(limiter.consumeSync("k")).toMatchObject(blocked);
});

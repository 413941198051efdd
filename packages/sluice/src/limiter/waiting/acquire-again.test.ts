/** `acquire` if no start can be promised ahead: it waits as long as the refusal says, and tries again. */
import { afterEach, describe, expect, test, vi } from "vitest";
import {
  fixedWindow,
  MaxWaitExceededError,
  MemoryStore,
  type Policy,
  RateLimiter,
  type Store,
  tokenBucket,
} from "../../index.js";
import { ManualClock } from "../../testing/index.js";
import { OutsideStore } from "../../../test/support/outside-store.js";
import { settle, watch } from "../../../test/support/watch.js";

const fast = tokenBucket({ name: "fast", limit: 100, period: "1s" });
const slow = tokenBucket({ name: "slow", limit: 60, period: "1m", burst: 1 });

/** One call a second each, in which the second waits for 1000 ms. */
const kinds: [string, (store: Store) => RateLimiter][] = [
  [
    "a set of a bucket and a window",
    (store) => {
      const window = fixedWindow({ name: "window", limit: 1, window: "1s", align: "first" });
      return limiterOf(store, fast, window);
    },
  ],
  [
    "a set with a bucket that is refilled by interval",
    (store) => {
      const steps = { limit: 1, period: "1s", refill: "interval" } as const;
      return limiterOf(store, fast, tokenBucket({ name: "steps", ...steps }));
    },
  ],
  [
    "a set with a bucket that another limiter has alone",
    (store) => {
      limiterOf(store, fast);
      return limiterOf(store, fast, slow);
    },
  ],
];

function limiterOf(store: Store, ...policy: readonly Policy[]): RateLimiter {
  return new RateLimiter({ policy, store, timeout: "30s", denyCache: false });
}

/** Remembers how long it was asked to sleep. */
class WatchedClock extends ManualClock {
  readonly sleepsMs: number[] = [];

  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.sleepsMs.push(ms);
    return super.sleep(ms, signal);
  }
}

describe.each(kinds)("%s", (_, make) => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /** A store as if outside the process, of which a limiter has had the one call that starts at once. */
  async function outside(): Promise<{
    clock: WatchedClock;
    store: OutsideStore;
    limiter: RateLimiter;
  }> {
    const clock = new WatchedClock();
    const store = Object.assign(new OutsideStore(clock), { clock });
    const limiter = make(store);
    await limiter.acquire("k");
    return { clock, store, limiter };
  }

  test("waits until the refusal's time, then is served in no order", async () => {
    const clock = new WatchedClock();
    const limiter = make(new MemoryStore({ clock }));
    expect(await limiter.acquire("k")).toMatchObject({ allowed: true, lateMs: 0 });
    const waiting = [watch(limiter.acquire("k")), watch(limiter.acquire("k"))];
    await settle();
    clock.advance(999.999);
    await settle();
    expect(waiting.map(({ settled }) => settled)).toEqual([undefined, undefined]);
    clock.advance(0.001);
    await settle();
    const served = waiting.filter(({ settled }) => settled !== undefined);
    expect(served).toHaveLength(1);
    expect(served[0]?.settled).toMatchObject({ allowed: true, readyAtUs: clock.nowUs() });
    clock.advance(1000);
    await settle();
    for (const { settled } of waiting) expect(settled).toMatchObject({ allowed: true });
    // A store inside the process has no other processes to spread out: each slept exactly as long as the refusal said.
    expect(clock.sleepsMs).toEqual([1000, 1000, 1000]);
  });

  test("takes nothing when it is refused, and gives up once maxWait cannot be met", async () => {
    const { limiter, store } = await outside();
    const refused = await limiter.reserve("k");
    expect(refused).toMatchObject({ allowed: false, reason: "quota", retryAfterMs: 1000 });
    const asked = store.calls.length;
    const error = await limiter.acquire("k", { maxWait: 999 }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(MaxWaitExceededError);
    expect(error).toMatchObject({ retryAfterMs: 1000 });
    expect(store.calls).toHaveLength(asked + 1);
  });

  test.each([0, 0.5, 1 - 2 ** -53])(
    "outside the process spreads by chance, %d of a tenth of the wait",
    async (chance) => {
      const { clock, limiter } = await outside();
      vi.spyOn(Math, "random").mockReturnValue(chance);
      const waiting = watch(limiter.acquire("k"));
      await settle();
      expect(clock.sleepsMs).toEqual([1000 + chance * 100]);
      clock.advance(1000 + chance * 100);
      await settle();
      expect(waiting.settled).toMatchObject({ allowed: true });
    },
  );

  test("spreads by at most a tenth of a short wait, and not past maxWait", async () => {
    const { clock, limiter } = await outside();
    vi.spyOn(Math, "random").mockReturnValue(0.5);
    clock.advance(800);
    const short = watch(limiter.acquire("k"));
    const bounded = watch(limiter.acquire("k", { maxWait: 205 }));
    await settle();
    expect(clock.sleepsMs).toEqual([210, 205]);
    clock.advance(205);
    await settle();
    expect([short.settled, bounded.settled]).toEqual([
      undefined,
      expect.objectContaining({ allowed: true }) as object,
    ]);
  });

  test("has its wait ended by an abort, and then nothing to give back", async () => {
    const { clock, limiter, store } = await outside();
    const abort = new AbortController();
    const waiting = watch(limiter.acquire("k", { signal: abort.signal }));
    await settle();
    const asked = store.calls.length;
    abort.abort(new Error("gone"));
    await settle();
    expect(waiting.settled).toMatchObject({ message: "gone" });
    expect(store.calls).toHaveLength(asked);
    clock.advance(1000);
    expect(await limiter.acquire("k", { maxWait: 0 })).toMatchObject({ allowed: true });
  });
});

test("a wait of more than a second is spread by 100 ms at most", async () => {
  const clock = new WatchedClock();
  const store = Object.assign(new OutsideStore(clock), { clock });
  const limiter = limiterOf(store, fixedWindow({ limit: 1, window: "1h", align: "first" }));
  await limiter.acquire("k");
  const aborts = Array.from({ length: 100 }, () => new AbortController());
  const waiting = aborts.map(({ signal }) => limiter.acquire("k", { signal }));
  const ended = Promise.allSettled(waiting);
  await settle();
  expect(clock.sleepsMs).toHaveLength(100);
  expect(Math.min(...clock.sleepsMs)).toBeGreaterThanOrEqual(3_600_000);
  expect(Math.max(...clock.sleepsMs)).toBeLessThan(3_600_100);
  // Together again at one moment is what it is there against.
  expect(new Set(clock.sleepsMs).size).toBeGreaterThan(50);
  for (const abort of aborts) abort.abort();
  await ended;
});

test("a fallback is asked again where it can promise no start, though the limiter itself could", async () => {
  const store = new OutsideStore();
  store.behaviour = "fails";
  const fallback = new RateLimiter({ policy: fixedWindow({ limit: 1, window: "100ms" }) });
  const policy = tokenBucket({ limit: 1, period: "1h" });
  const limiter = new RateLimiter({ policy, store, onStoreFailure: { fallback } });
  for (let i = 0; i < 3; i++) {
    expect(await limiter.acquire("k", { maxWait: "1m" })).toMatchObject({ source: "fallback" });
  }
});

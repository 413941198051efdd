import { getEventListeners } from "node:events";
import { describe, expect, test, vi } from "vitest";
import {
  fixedWindow,
  gcra,
  leakyBucket,
  MaxWaitExceededError,
  MemoryStore,
  type Policy,
  QueueFullError,
  RateLimiter,
  type RateLimiterOptions,
  type Reservation,
  tokenBucket,
} from "../../index.js";
import { ManualClock } from "../../testing/index.js";
import { eventually } from "../../../test/support/eventually.js";
import { OutsideStore } from "../../../test/support/outside-store.js";
import { settle, watch } from "../../../test/support/watch.js";

const ten = tokenBucket({ limit: 10, period: "1s" });

function limiterOf(policy: RateLimiterOptions["policy"] = ten): {
  clock: ManualClock;
  limiter: RateLimiter<MemoryStore>;
} {
  const clock = new ManualClock();
  const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
  return { clock, limiter };
}

/** Lets that pass in small steps: each pause begins only after the one before. */
async function advance(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 10) {
    clock.advance(10);
    await settle();
  }
}

function granted(reservation: Reservation): Extract<Reservation, { allowed: true }> {
  if (!reservation.allowed) throw new Error(`refused: ${reservation.reason}`);
  return reservation;
}

describe("reserve", () => {
  test("promises a start to each in turn, and says when", async () => {
    const { clock, limiter } = limiterOf();
    const at = clock.nowUs();
    expect(await limiter.reserve("k", { cost: 10 })).toMatchObject({ delayMs: 0, readyAtUs: at });
    expect(await limiter.reserve("k")).toMatchObject({ delayMs: 100, readyAtUs: at + 100_000 });
    expect(await limiter.reserve("k", { cost: 2 })).toMatchObject({ delayMs: 300 });
    clock.advance(50);
    expect(await limiter.reserve("k")).toMatchObject({ delayMs: 350, readyAtUs: at + 400_000 });
  });

  test("refuses at once what would wait longer than maxWait, and takes nothing for it", async () => {
    const { limiter } = limiterOf();
    await limiter.consume("k", { cost: 10 });
    const refused = { allowed: false, reason: "quota", retryAfterMs: 100 };
    expect(await limiter.reserve("k", { maxWait: 0 })).toMatchObject(refused);
    expect(await limiter.reserve("k", { maxWait: 99.999 })).toMatchObject(refused);
    expect(await limiter.reserve("k", { maxWait: "100ms" })).toMatchObject({ delayMs: 100 });
    expect(await limiter.reserve("k", { cost: 11 })).toMatchObject({
      reason: "too-costly",
      retryAfterMs: Number.POSITIVE_INFINITY,
    });
  });

  test("cancels once, and only what nobody behind was promised", async () => {
    const { limiter } = limiterOf();
    await limiter.consume("k", { cost: 10 });
    const first = granted(await limiter.reserve("k", { cost: 5 }));
    const second = granted(await limiter.reserve("k", { cost: 2 }));
    expect(await Promise.all([first.cancel(), first.cancel()])).toEqual([true, true]);
    // 10 + 5 + 2 were taken; 5 less the 2 behind came back, and once.
    expect(await limiter.reserve("k", { maxWait: 0 })).toMatchObject({ retryAfterMs: 500 });
    expect(await second.cancel()).toBe(true);
    expect(await limiter.reserve("k", { maxWait: 0 })).toMatchObject({ retryAfterMs: 300 });
  });

  test.each([
    ["a bucket", gcra({ limit: 7, period: "1s" })],
    ["a queue", leakyBucket({ limit: 7, period: "1s", capacity: 1000 })],
    ["refills by interval", tokenBucket({ limit: 7, period: "1s", refill: "interval" })],
  ])("leaves no trace of the last in line that gives up: %s", async (_, policy) => {
    const { clock, limiter } = limiterOf(policy);
    await limiter.reserve("k", { cost: 1 });
    clock.advance(33.333);
    await limiter.reserve("k", { cost: 1 });
    const before = await limiter.peek("k");
    const next = await limiter.reserve("k", { cost: 1 });
    if (next.allowed) await next.cancel();
    for (let i = 0; i < 100; i++) {
      const reservation = granted(await limiter.reserve("k", { cost: 1 }));
      expect(reservation.readyAtUs).toBe(next.allowed && next.readyAtUs);
      expect(await reservation.cancel()).toBe(true);
    }
    expect(await limiter.peek("k")).toEqual(before);
  });

  test("by interval, keeps what those behind count on: less than the burst may be in use at their start", async () => {
    const policy = tokenBucket({ limit: 10, period: "1s", refill: "interval" });
    const { clock, limiter } = limiterOf(policy);
    await limiter.consume("k", { cost: 10 });
    const first = granted(await limiter.reserve("k", { cost: 10 }));
    expect(await limiter.reserve("k")).toMatchObject({ delayMs: 2000 });
    expect(await first.cancel()).toBe(false);
    clock.advance(2000);
    expect(await limiter.consume("k", { cost: 9 })).toMatchObject({ allowed: true, remaining: 0 });
  });

  test("all that are cancelled in one go come back, in whatever order", async () => {
    const { limiter } = limiterOf();
    await limiter.consume("k", { cost: 10 });
    const line = await Promise.all(Array.from({ length: 20 }, () => limiter.reserve("k")));
    expect(await Promise.all(line.map((each) => granted(each).cancel()))).not.toContain(false);
    expect(await limiter.reserve("k", { maxWait: 0 })).toMatchObject({ retryAfterMs: 100 });
  });

  test("gives nothing back once the start has passed", async () => {
    const { clock, limiter } = limiterOf();
    await limiter.consume("k", { cost: 10 });
    const late = granted(await limiter.reserve("k"));
    clock.advance(100.001);
    expect(await late.cancel()).toBe(false);
  });

  test("a refund gives nothing back that those who wait were promised", async () => {
    const { clock, limiter } = limiterOf(tokenBucket({ limit: 1, period: "100ms" }));
    await limiter.consume("k");
    await limiter.reserve("k");
    await limiter.refund("k", 1);
    expect(await limiter.reserve("k", { maxWait: 0 })).toMatchObject({ retryAfterMs: 200 });
    clock.advance(100.001);
    await limiter.refund("k", 1);
    expect(await limiter.reserve("k", { maxWait: 0 })).toMatchObject({ allowed: true });
  });

  test("of several buckets, the slowest decides", async () => {
    const fast = tokenBucket({ name: "fast", limit: 10, period: "1s" });
    const slow = tokenBucket({ name: "slow", limit: 60, period: "1m", burst: 1 });
    const { limiter } = limiterOf([fast, slow]);
    expect(await limiter.reserve("k")).toMatchObject({ delayMs: 0 });
    expect(await limiter.reserve("k")).toMatchObject({ delayMs: 1000 });
  });

  test("promises nothing on a bucket that other limiters use in other company", async () => {
    const fast = tokenBucket({ name: "fast", limit: 10, period: "1s" });
    const slow = tokenBucket({ name: "slow", limit: 60, period: "1m", burst: 1 });
    const { limiter } = limiterOf([fast, slow]);
    const { store } = limiter;
    await limiter.reserve("k");
    const other = new RateLimiter({ policy: fast, store });
    expect(await limiter.reserve("k")).toMatchObject({ allowed: false, retryAfterMs: 1000 });
    await other.close();
    expect(await limiter.reserve("k")).toMatchObject({ allowed: true, delayMs: 1000 });
  });

  test("answers for now where no start can be promised", async () => {
    const { limiter } = limiterOf(fixedWindow({ limit: 1, window: "1s", align: "first" }));
    expect(await limiter.reserve("k")).toMatchObject({ allowed: true, delayMs: 0 });
    expect(await limiter.reserve("k")).toMatchObject({ allowed: false, retryAfterMs: 1000 });
  });

  test("a shadow counts, but never waits", async () => {
    const store = new MemoryStore({ clock: new ManualClock() });
    const shadow = new RateLimiter({ policy: ten, store, enforce: false });
    await shadow.reserve("k", { cost: 10 });
    expect(await shadow.reserve("k")).toMatchObject({ allowed: true, delayMs: 0 });
    const refused = await shadow.reserve("k", { maxWait: 0 });
    expect(refused).toMatchObject({ allowed: true, delayMs: 0, decision: { reason: "quota" } });
  });

  test("says what is wrong with its options", async () => {
    const { limiter } = limiterOf();
    await expect(limiter.reserve("k", { maxWait: -1 })).rejects.toThrow("maxWait");
    await expect(limiter.reserve("k", { maxwait: 1 } as object)).rejects.toThrow("maxwait");
  });
});

describe("acquire", () => {
  test("resolves when the time has come, and not before", async () => {
    const { clock, limiter } = limiterOf();
    expect(await limiter.acquire("k", { cost: 10 })).toMatchObject({ allowed: true, lateMs: 0 });
    const { signal } = new AbortController();
    const waiting = watch(limiter.acquire("k", { signal }));
    await settle();
    clock.advance(99.999);
    await settle();
    expect(waiting.settled).toBeUndefined();
    clock.advance(0.001);
    await settle();
    expect(waiting.settled).toMatchObject({ allowed: true, readyAtUs: clock.nowUs(), lateMs: 0 });
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  test("throws at once what cannot start within maxWait", async () => {
    const { limiter } = limiterOf();
    await limiter.acquire("k", { cost: 10 });
    const error = await limiter.acquire("k", { maxWait: 50 }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(MaxWaitExceededError);
    expect(error).toMatchObject({ code: "MAX_WAIT_EXCEEDED", retryAfterMs: 100 });
    // What consume would have answered, for callers that show it.
    expect((error as MaxWaitExceededError).decision).toEqual(await limiter.consume("k"));
    await expect(limiter.acquire("k", { cost: 11 })).rejects.toMatchObject({
      retryAfterMs: Number.POSITIVE_INFINITY,
    });
  });

  test.each([0.29, 1.001, 2.006, 131.331])(
    "waits for exactly maxWait, %s ms, to the microsecond",
    async (period) => {
      const policy = tokenBucket({ limit: 1000, period: period * 1000, burst: 1 });
      const { clock, limiter } = limiterOf(policy);
      await limiter.consume("k");
      const waiting = watch(limiter.acquire("k", { maxWait: period }));
      await settle();
      clock.set(clock.nowUs() + Math.round(period * 1e3));
      await settle();
      expect(waiting.settled).toMatchObject({ allowed: true, lateMs: 0 });
    },
  );

  test.each([
    ["one signal", 1],
    ["a signal each, aborted in a row", 50],
  ])("50 in line that end at once give back 49: %s", async (_, signals) => {
    const { clock, limiter } = limiterOf(gcra({ limit: 10, period: "1s" }));
    const aborts = Array.from({ length: signals }, () => new AbortController());
    const wrapped = limiter.wrap(() => "done", { key: "k", signal: aborts[0]?.signal });
    const line = Array.from({ length: 50 }, (_each, i) =>
      i % 7 === 3 && signals === 1
        ? wrapped()
        : limiter.acquire("k", { signal: (aborts[i % signals] as AbortController).signal }),
    );
    const ended = Promise.allSettled(line);
    await settle();
    for (const abort of aborts) abort.abort(new Error("shut down"));
    const outcomes = await ended;
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(await limiter.reserve("k", { maxWait: 0 })).toMatchObject({ retryAfterMs: 100 });
    clock.advance(100);
    expect(await limiter.consume("k")).toMatchObject({ allowed: true });
  });

  test("an aborted signal asks for nothing", async () => {
    const { limiter } = limiterOf();
    const reason = new Error("too late");
    const signal = AbortSignal.abort(reason);
    await expect(limiter.acquire("k", { signal })).rejects.toBe(reason);
    expect((await limiter.peek("k")).remaining).toBe(10);
  });

  test("an abort ends the wait, gives back, and leaves no listener", async () => {
    const { limiter } = limiterOf();
    await limiter.acquire("k", { cost: 10 });
    const controller = new AbortController();
    const waiting = watch(limiter.acquire("k", { cost: 4, signal: controller.signal }));
    await settle();
    const behind = granted(await limiter.reserve("k"));
    expect(behind.delayMs).toBe(500);
    controller.abort(new Error("gone"));
    await settle();
    expect(waiting.settled).toMatchObject({ message: "gone" });
    // 4 less the 1 behind came back: the next start is at 100 + 100 of what stayed in use.
    expect(await limiter.reserve("k", { maxWait: 0 })).toMatchObject({ retryAfterMs: 300 });
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
  });

  test("an abort in the same tick as the grant wins, and gives back", async () => {
    const { limiter } = limiterOf();
    await limiter.consume("k", { cost: 10 });
    const controller = new AbortController();
    const waiting = limiter.acquire("k", { signal: controller.signal });
    controller.abort(new Error("changed my mind"));
    await expect(waiting).rejects.toThrow("changed my mind");
    expect(await limiter.reserve("k", { maxWait: 0 })).toMatchObject({ retryAfterMs: 100 });
  });

  test("windows wait and try again until maxWait is over", async () => {
    const { clock, limiter } = limiterOf(fixedWindow({ limit: 1, window: "1s" }));
    await limiter.acquire("k");
    await expect(limiter.acquire("k", { maxWait: 999 })).rejects.toThrow(MaxWaitExceededError);
    const waiting = watch(limiter.acquire("k", { maxWait: 1500 }));
    const other = watch(limiter.acquire("k", { maxWait: 1500 }));
    await settle();
    clock.advance(1000);
    await settle();
    expect(waiting.settled).toMatchObject({ allowed: true });
    expect(other.settled).toBeInstanceOf(MaxWaitExceededError);
  });

  test("a blocked key is waited for", async () => {
    const { clock, limiter } = limiterOf();
    await limiter.block("k", "2s");
    await expect(limiter.acquire("k", { maxWait: "1s" })).rejects.toThrow(MaxWaitExceededError);
    const waiting = watch(limiter.acquire("k"));
    await settle();
    clock.advance(2000);
    await settle();
    expect(waiting.settled).toMatchObject({ allowed: true, reason: "ok" });
  });

  test("without an end it keeps trying", async () => {
    const policy: Policy = fixedWindow({ limit: 1, window: "1d" });
    const { clock, limiter } = limiterOf(policy);
    await limiter.acquire("k");
    const waiting = watch(limiter.acquire("k"));
    await settle();
    clock.advance(86_400_000);
    await settle();
    expect(waiting.settled).toMatchObject({ allowed: true });
  });
});

describe("a leaky bucket is a queue", () => {
  const leaky = leakyBucket({ limit: 2, period: "1s", capacity: 3 });

  test("calls start as far apart as each needs to leak", async () => {
    const { limiter } = limiterOf(leaky);
    const delays: number[] = [];
    for (const cost of [1, 0.5, 1.5]) {
      delays.push(granted(await limiter.reserve("k", { cost })).delayMs);
    }
    expect(delays).toEqual([0, 500, 750]);
  });

  test("refuses what consume would deny: the line holds the capacity", async () => {
    const { clock, limiter } = limiterOf(leaky);
    for (let i = 0; i < 3; i++) await limiter.reserve("k");
    const error = await limiter.acquire("k").catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(QueueFullError);
    expect(error).toMatchObject({ code: "QUEUE_FULL", retryAfterMs: 500 });
    expect((error as QueueFullError).decision).toEqual(await limiter.consume("k"));
    expect(await limiter.peek("k")).toMatchObject({ allowed: false, retryAfterMs: 500 });
    clock.advance(500);
    expect(await limiter.reserve("k")).toMatchObject({ delayMs: 1000 });
    clock.advance(500);
    const tooLong = await limiter.acquire("k", { maxWait: 999 }).catch((caught: unknown) => caught);
    expect(tooLong).toBeInstanceOf(MaxWaitExceededError);
    expect(tooLong).toMatchObject({ retryAfterMs: 1000 });
  });
});

describe("when the store fails", () => {
  function outside(onStoreFailure: RateLimiterOptions["onStoreFailure"]): {
    store: OutsideStore;
    limiter: RateLimiter;
    clock: ManualClock;
    failures: unknown[];
  } {
    const clock = new ManualClock();
    const store = new OutsideStore(clock);
    Object.assign(store, { clock });
    const failures: unknown[] = [];
    const hooks = { onError: ({ error }: { error: unknown }) => failures.push(error) };
    const limiter = new RateLimiter({
      policy: ten,
      store,
      timeout: 20,
      hooks,
      ...(onStoreFailure !== undefined && { onStoreFailure }),
    });
    return { store, limiter, clock, failures };
  }

  test("open starts at once, and says so", async () => {
    const { store, limiter } = outside("open");
    store.behaviour = "fails";
    expect(await limiter.acquire("k")).toMatchObject({ allowed: true, source: "fail-open" });
    const reservation = granted(await limiter.reserve("k"));
    expect(reservation).toMatchObject({ delayMs: 0, decision: { source: "fail-open" } });
    expect(await reservation.cancel()).toBe(false);
  });

  test.each(["closed", "throw"] as const)(
    "%s: without a wait, it fails at once",
    async (policy) => {
      const { store, limiter } = outside(policy);
      store.behaviour = "fails";
      const reserved = limiter.reserve("k");
      if (policy === "throw") await expect(reserved).rejects.toThrow("connection lost");
      else expect(await reserved).toMatchObject({ allowed: false, reason: "store" });
      await expect(limiter.acquire("k", { maxWait: 0 })).rejects.toMatchObject({
        code: "STORE_UNAVAILABLE",
      });
      expect(store.calls).toHaveLength(2);
    },
  );

  test.each(["closed", "throw"] as const)(
    "%s: it is asked again, with pauses, and serves when it is back",
    async (policy) => {
      const { store, limiter, clock } = outside(policy);
      store.behaviour = "fails";
      const waiting = watch(limiter.acquire("k", { maxWait: "1m" }));
      await advance(clock, 10_000);
      expect(store.calls.length).toBeGreaterThan(4);
      expect(store.calls.length).toBeLessThan(40);
      expect(waiting.settled).toBeUndefined();
      store.behaviour = "answers";
      await eventually(async () => {
        await advance(clock, 1000);
        expect(waiting.settled).toMatchObject({ allowed: true, source: "store" });
      });
    },
  );

  test.each(["closed", "throw"] as const)(
    "%s: it is asked until maxWait is over, and then that is thrown",
    async (policy) => {
      const { store, limiter, clock } = outside(policy);
      store.behaviour = "fails";
      const waiting = limiter.acquire("k", { maxWait: 500 }).catch((error: unknown) => error);
      await advance(clock, 500);
      expect(await waiting).toMatchObject({ code: "STORE_UNAVAILABLE" });
      expect(store.calls.length).toBeLessThan(10);
    },
  );

  test("a fallback's line is waited in", async () => {
    const { limiter: fallback, clock } = limiterOf();
    await fallback.consume("k", { cost: 10 });
    const { store, limiter } = outside({ fallback });
    store.behaviour = "fails";
    const reservation = granted(await limiter.reserve("k"));
    expect(reservation).toMatchObject({ delayMs: 100, decision: { source: "fallback" } });
    expect(await reservation.cancel()).toBe(true);
    expect(clock.nowUs()).toBeGreaterThan(0);
  });

  test("who waits already starts in time; a cancel that fails says false and tells the hook", async () => {
    const { store, limiter, clock, failures } = outside("open");
    await limiter.consume("k", { cost: 10 });
    const waiting = watch(limiter.acquire("k"));
    const reservation = granted(await limiter.reserve("k"));
    store.behaviour = "fails";
    expect(await reservation.cancel()).toBe(false);
    expect(failures).toHaveLength(1);
    clock.advance(100);
    await eventually(() => expect(waiting.settled).toMatchObject({ allowed: true }));
  });

  test("an answer that comes too late gives its place back", async () => {
    const { store, limiter } = outside("open");
    await limiter.consume("k", { cost: 10 });
    const answers: (() => void)[] = [];
    const submit = store.submit.bind(store);
    store.submit = (call, done) => {
      answers.push(() => {
        submit(call, done);
      });
    };
    expect(await limiter.acquire("k", { cost: 5 })).toMatchObject({ source: "fail-open" });
    store.submit = submit;
    for (const answer of answers) answer();
    await eventually(async () => {
      expect(await limiter.reserve("k", { maxWait: 0 })).toMatchObject({ retryAfterMs: 100 });
    });
  });
});

describe("wrap", () => {
  test("waits for each call's own key, keeps this, arguments and result", async () => {
    const { clock, limiter } = limiterOf(tokenBucket({ limit: 1, period: "1s" }));
    const starts: string[] = [];
    const api = {
      name: "api",
      fetch: limiter.wrap(
        function (this: { name: string } | void, user: string, n: number): number {
          starts.push(`${(this as { name: string }).name} ${user} ${n}`);
          return n * 2;
        },
        { key: (user) => user },
      ),
    };
    expect(await api.fetch("a", 1)).toBe(2);
    const second = watch(api.fetch("a", 2));
    expect(await api.fetch("b", 3)).toBe(6);
    expect(second.settled).toBeUndefined();
    clock.advance(1000);
    await settle();
    expect(second.settled).toBe(4);
    expect(starts).toEqual(["api a 1", "api b 3", "api a 2"]);
  });

  test("does not call what may not start", async () => {
    const { limiter } = limiterOf(tokenBucket({ limit: 1, period: "1s" }));
    const fn = vi.fn(async () => "done");
    const wrapped = limiter.wrap(fn, { key: "k", maxWait: 0 });
    expect(await wrapped()).toBe("done");
    await expect(wrapped()).rejects.toThrow(MaxWaitExceededError);
    expect(fn).toHaveBeenCalledTimes(1);
  });
});

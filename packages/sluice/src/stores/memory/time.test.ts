/** A store in memory under clocks that are set, and under the fake clocks of test runners. */
import { afterEach, describe, expect, test, vi } from "vitest";
import {
  calendarWindow,
  consumeAtomic,
  fixedWindow,
  gcra,
  MemoryStore,
  type Policy,
  RateLimiter,
  Semaphore,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../index.js";
import { ManualClock } from "../../testing/index.js";

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

const HOUR_MS = 3_600_000;

/** What measures spans; each lets one call pass a minute. */
const spans: readonly Policy[] = [
  tokenBucket({ limit: 1, period: "1m" }),
  tokenBucket({ name: "interval", limit: 1, period: "1m", refill: "interval" }),
  gcra({ limit: 1, period: "1m" }),
  fixedWindow({ limit: 1, window: "1m", align: "first" }),
  slidingLog({ limit: 1, window: "1m" }),
];
const passes = (limiter: RateLimiter<MemoryStore>, key = "k"): boolean =>
  limiter.consumeSync(key).allowed;

describe("a wall clock set back", () => {
  test.each(spans)("changes nothing for $name", async (policy) => {
    vi.useFakeTimers();
    const limiter = new RateLimiter({ policy });
    expect(passes(limiter)).toBe(true);
    vi.setSystemTime(Date.now() - HOUR_MS);
    expect(limiter.consumeSync("k").retryAfterMs).toBe(60_000);
    vi.advanceTimersByTime(59_999);
    expect(passes(limiter)).toBe(false);
    vi.advanceTimersByTime(1);
    expect(passes(limiter)).toBe(true);
  });

  test("does not lengthen what acquire waits", async () => {
    vi.useFakeTimers();
    const limiter = new RateLimiter({ policy: spans[0] });
    await limiter.acquire("k");
    vi.setSystemTime(Date.now() - HOUR_MS);
    const started = limiter.acquire("k");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await started).toMatchObject({ allowed: true, lateMs: 0 });
  });

  test("does not lengthen a lease in memory", async () => {
    vi.useFakeTimers();
    const semaphore = new Semaphore({ limit: 1, leaseDuration: "10s", store: new MemoryStore() });
    const one = await semaphore.acquire("k");
    vi.setSystemTime(Date.now() - HOUR_MS);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(one.lost.aborted).toBe(false);
    await one.release();
    await (await semaphore.acquire("k", { maxWait: 0 })).release();
    await semaphore.close();
  });

  test.each([
    fixedWindow({ limit: 1, window: "1m" }),
    calendarWindow({ limit: 1, unit: "minute" }),
  ])("is what $name goes by: its window ends when the clock says so", (policy) => {
    vi.useFakeTimers({ now: Date.parse("2026-01-01T12:00:30Z") });
    const limiter = new RateLimiter({ policy });
    expect(passes(limiter)).toBe(true);
    vi.setSystemTime(Date.parse("2026-01-01T11:59:59Z"));
    expect(limiter.consumeSync("k").retryAfterMs).toBe(61_000);
    expect(passes(limiter, "new")).toBe(true);
    expect(limiter.consumeSync("new").retryAfterMs).toBe(1000);
    vi.advanceTimersByTime(1000);
    expect(passes(limiter, "new")).toBe(true);
    expect(passes(limiter)).toBe(false);
    vi.advanceTimersByTime(60_000);
    expect(passes(limiter)).toBe(true);
  });

  test("leaves the rows of windows in place until the wall clock has passed them", () => {
    vi.useFakeTimers({ now: Date.parse("2026-01-01T12:00:30Z") });
    const store = new MemoryStore();
    const windows = new RateLimiter({ store, policy: fixedWindow({ limit: 1, window: "1m" }) });
    const bucket = new RateLimiter({ store, policy: tokenBucket({ limit: 1, period: "1s" }) });
    windows.consumeSync("k");
    vi.setSystemTime(Date.now() - HOUR_MS);
    // By the time that has passed the row has long expired; its window has not ended.
    for (let minute = 0; minute < 60; minute++) {
      vi.advanceTimersByTime(60_000);
      for (let i = 0; i < 50; i++) bucket.consumeSync("other", { cost: 0 });
      if (minute < 59) expect(windows.consumeSync("k").allowed).toBe(false);
    }
    vi.advanceTimersByTime(60_000);
    expect(windows.consumeSync("k").allowed).toBe(true);
    vi.advanceTimersByTime(10 * 60_000);
    for (let i = 0; i < 100; i++) bucket.consumeSync("other", { cost: 0 });
    expect(store.size).toBe(0);
  });

  test("leaves each policy of a set to its own clock, and shows the deciding one's", async () => {
    vi.useFakeTimers({ now: Date.parse("2026-01-01T12:00:30Z") });
    const store = new MemoryStore();
    const policy = [
      tokenBucket({ name: "spans", limit: 2, period: "1m" }),
      fixedWindow({ name: "clock", limit: 3, window: "1m" }),
    ];
    const limiter = new RateLimiter({ store, policy });
    limiter.consumeSync("k");
    const began = Date.now();
    vi.setSystemTime(began - HOUR_MS);
    // One of the bucket's two units is left, and two of the window's three.
    const first = limiter.consumeSync("k");
    expect(first).toMatchObject({ allowed: true, policy: "spans", decidedAtUs: began * 1e3 });
    vi.advanceTimersByTime(30_000);
    expect(limiter.consumeSync("k")).toMatchObject({ allowed: true });
    const denied = limiter.consumeSync("k");
    // The window that was opened before the clock went back ends as it was stored.
    expect(denied).toMatchObject({
      allowed: false,
      policy: "clock",
      retryAfterMs: HOUR_MS,
      decidedAtUs: began * 1e3,
      policies: [
        { policy: "spans", retryAfterMs: 30_000 },
        { policy: "clock", retryAfterMs: HOUR_MS },
      ],
    });
    const [answer] = (await consumeAtomic([{ limiter, key: "k" }])).decisions;
    expect(answer).toMatchObject({ allowed: false, policy: "clock", decidedAtUs: began * 1e3 });
    await limiter.block("k", "10s");
    expect(limiter.consumeSync("new", { cost: 0 }).policies).toHaveLength(2);
    vi.advanceTimersByTime(9_999);
    expect(limiter.consumeSync("k").reason).toBe("blocked");
    vi.advanceTimersByTime(1);
    expect(limiter.consumeSync("k").reason).toBe("quota");
  });

  test("still finds the calendar of a moment before", () => {
    vi.useFakeTimers({ now: Date.parse("2026-01-01T12:00:30Z") });
    const policy = [
      tokenBucket({ name: "spans", limit: 100, period: "1m" }),
      calendarWindow({ name: "clock", limit: 5, unit: "minute" }),
    ];
    const limiter = new RateLimiter({ policy });
    limiter.consumeSync("k");
    limiter.consumeSync("k", { cost: 0 });
    vi.setSystemTime(Date.now() - 400 * 24 * HOUR_MS);
    expect(limiter.consumeSync("k")).toMatchObject({ allowed: true });
    expect(limiter.consumeSync("new")).toMatchObject({ allowed: true, remaining: 4 });
  });
});

describe("a machine that slept", () => {
  test("has let the time pass that its wall clock says", () => {
    vi.useFakeTimers();
    const limiter = new RateLimiter({ policy: spans[0] });
    passes(limiter);
    vi.setSystemTime(Date.now() + 60_000);
    expect(passes(limiter)).toBe(true);
  });
});

describe("fake clocks are followed at once", () => {
  const fakes: readonly [string, () => void][] = [
    ["all", () => void vi.useFakeTimers()],
    ["Date alone", () => void vi.useFakeTimers({ toFake: ["Date"] })],
    ["Date and timers", () => void vi.useFakeTimers({ toFake: ["Date", "setTimeout"] })],
  ];

  test.each(fakes)("%s", (_name, install) => {
    for (const policy of spans) {
      const limiter = new RateLimiter({ policy });
      expect(passes(limiter, "before")).toBe(true);
      install();
      expect(passes(limiter, "before")).toBe(false);
      expect([passes(limiter), passes(limiter)]).toEqual([true, false]);
      vi.advanceTimersByTime(61_000);
      expect([passes(limiter), passes(limiter)]).toEqual([true, false]);
      // When the fake ends, no time has passed.
      vi.useRealTimers();
      expect(passes(limiter)).toBe(false);
    }
  });

  test.each(spans)("vi.setSystemTime alone, for $name", (policy) => {
    const limiter = new RateLimiter({ policy });
    expect([passes(limiter), passes(limiter)]).toEqual([true, false]);
    vi.setSystemTime(Date.now() + 61_000);
    expect([passes(limiter), passes(limiter)]).toEqual([true, false]);
  });

  test("a spy on Date.now, as jest.setSystemTime and Bun leave Date itself in place", () => {
    const limiter = new RateLimiter({ policy: spans[0] });
    expect([passes(limiter), passes(limiter)]).toEqual([true, false]);
    const now = Date.now();
    vi.spyOn(Date, "now").mockReturnValue(now + 61_000);
    expect([passes(limiter), passes(limiter)]).toEqual([true, false]);
  });

  test("steps of one millisecond of Date alone", () => {
    vi.stubGlobal("performance", { now: () => 5000 });
    vi.useFakeTimers({ toFake: ["Date"] });
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: 3 }) });
    passes(limiter);
    const answers = [1, 2, 3].map(() => {
      vi.advanceTimersByTime(1);
      return passes(limiter);
    });
    expect(answers).toEqual([false, false, true]);
  });

  test("a fake that begins in the past, again and again", () => {
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1m" }) });
    expect(passes(limiter)).toBe(true);
    for (let i = 0; i < 10; i++) {
      vi.useFakeTimers({ now: 0 });
      expect(passes(limiter)).toBe(false);
      vi.advanceTimersByTime(60_000);
      expect([passes(limiter), passes(limiter)]).toEqual([true, false]);
      vi.useRealTimers();
      expect(passes(limiter)).toBe(false);
    }
  });

  test.each(fakes.filter(([name]) => name !== "Date alone"))(
    "by acquire, with a promised start and without, under %s",
    async (_name, install) => {
      install();
      for (const policy of [
        tokenBucket({ limit: 1, period: "1m" }),
        slidingLog({ limit: 1, window: "1m" }),
      ]) {
        const limiter = new RateLimiter({ policy });
        await limiter.acquire("k");
        const started = vi.fn();
        const waiting = limiter.acquire("k", { maxWait: "2m" }).then(started);
        await vi.advanceTimersByTimeAsync(59_000);
        expect(started).not.toHaveBeenCalled();
        await vi.advanceTimersByTimeAsync(1001);
        await waiting;
        expect(started).toHaveBeenCalledOnce();
      }
    },
  );

  test.each(fakes.filter(([name]) => name !== "Date alone"))(
    "by a semaphore's maxWait under %s",
    async (_name, install) => {
      install();
      const semaphore = new Semaphore({ limit: 1, store: new MemoryStore() });
      const held = await semaphore.acquire("k");
      const refused = semaphore.acquire("k", { maxWait: "5s" }).catch((error: unknown) => error);
      await vi.advanceTimersByTimeAsync(5000);
      expect(await refused).toMatchObject({ name: "MaxWaitExceededError" });
      await held.release();
      await semaphore.close();
    },
  );
});

describe("a test's own clock", () => {
  test("decides every policy, whatever the machine's clocks say", () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    vi.useFakeTimers({ now: 0 });
    const limiter = new RateLimiter({
      store,
      policy: [
        slidingWindow({ name: "a", limit: 5, window: "1m" }),
        fixedWindow({ name: "b", limit: 5, window: "1m" }),
      ],
    });
    expect(limiter.consumeSync("k").decidedAtUs).toBe(clock.nowUs());
    vi.advanceTimersByTime(60_000);
    expect(limiter.consumeSync("k")).toMatchObject({ remaining: 3, decidedAtUs: clock.nowUs() });
  });
});

import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { FlakyReports } from "../../test/support/flaky-reports.js";
import { keyId } from "../audit/index.js";
import { fixedWindow, MemoryStore, RateLimiter, Semaphore } from "../index.js";
import { type PoliciesDocument, PolicySet } from "../policies/index.js";
import { ManualClock } from "../testing/index.js";
import { type ReportOptions, type Reporter, readReports, report } from "./index.js";

/** 20 s after the beginning of a minute. */
const START_MS = 1_790_000_000_000;
const policy = fixedWindow({ name: "api", limit: 2, window: "1d" });

afterEach(() => {
  vi.useRealTimers();
});

function setUp() {
  const clock = new ManualClock(START_MS);
  const far = new FlakyReports(clock);
  const store: MemoryStore = Object.assign(new MemoryStore({ clock }), { reports: far });
  const limiter = new RateLimiter({ policy, store });
  return { clock, far, store, limiter };
}

function reporting(options: ReportOptions): Reporter {
  const reporter = report(options);
  onTestFinished(() => reporter.end());
  return reporter;
}

describe("a report", () => {
  test("shows counts, units, limits and ids of each policy, with rates", async () => {
    const { clock, store, limiter } = setUp();
    const reporter = reporting({ store, limiters: [limiter] });
    await reporter.flush();
    for (let i = 0; i < 5; i++) limiter.consumeSync("user:42");
    limiter.consumeSync("user:43", { cost: 2.5 });
    clock.advance(10_000);
    await reporter.flush();
    const { limiters, nowMs, fromMs, processes, gaps } = await readReports({ store });
    expect(limiters).toMatchObject([{ limiter: "sluice", asked: 6, failed: 0, aborted: 0 }]);
    expect(limiters[0]?.policies).toEqual([
      {
        policy: "api",
        asked: 6,
        allowed: 2,
        denied: 4,
        shadowDenied: 0,
        withoutStore: 0,
        nearLimit: 1,
        limit: 2,
        windowMs: 86_400_000,
        mode: "enforce",
        units: { allowed: 2, denied: 5.5, shadowDenied: 0 },
        decisions: [
          { policy: "api", outcome: "allowed", reason: "ok", source: "store", count: 2, units: 2 },
          {
            policy: "api",
            outcome: "denied",
            reason: "quota",
            source: "store",
            count: 3,
            units: 3,
          },
          {
            policy: "api",
            outcome: "denied",
            reason: "too-costly",
            source: "store",
            count: 1,
            units: 2.5,
          },
        ],
        perSecond: {
          asked: 0.6,
          allowed: 0.2,
          denied: 0.4,
          shadowDenied: 0,
          withoutStore: 0,
          nearLimit: 0.1,
        },
        topDenied: [
          { id: keyId("user:42"), atLeast: 3, atMost: 3 },
          { id: keyId("user:43"), atLeast: 1, atMost: 1 },
        ],
        unlistedAtMost: 0,
      },
    ]);
    expect(processes).toMatchObject([
      { state: "reporting", beganMs: START_MS, seenMs: START_MS + 10_000 },
    ]);
    expect(processes[0]?.process).toMatch(/^[\w-]{12}$/);
    expect([gaps, nowMs - fromMs < 300_000, fromMs % 60_000]).toEqual([[], true, 0]);
  });

  test("counts from its beginning, under its own name, limiters of one namespace as one", async () => {
    const { store, limiter } = setUp();
    limiter.consumeSync("k");
    const other = new RateLimiter({ policy, store, enforce: false });
    const reporter = reporting({ store, limiters: [limiter, other, other], name: "edge" });
    limiter.consumeSync("k");
    for (let i = 0; i < 3; i++) other.consumeSync("k");
    await reporter.flush();
    expect((await readReports({ store })).limiters).toEqual([]);
    const { limiters } = await readReports({ store, name: "edge" });
    expect(limiters).toHaveLength(1);
    expect(limiters[0]).toMatchObject({ asked: 4, allowed: 1, shadowDenied: 3, denied: 0 });
    expect(limiters[0]?.policies[0]?.topDenied).toMatchObject([{ atLeast: 3, atMost: 3 }]);
  });

  test("shows what policies without a vote say beside those that decide, and counts it in no sum", async () => {
    const { store, clock } = setUp();
    const policies = [
      fixedWindow({ name: "api", limit: 3, window: "1h" }),
      fixedWindow({ name: "api.candidate", limit: 1, window: "1h", enforce: false }),
    ];
    const limiter = new RateLimiter({ policy: policies, store, namespace: "edge" });
    const reporter = reporting({ store, limiters: [limiter] });
    for (let i = 0; i < 5; i++) limiter.consumeSync("k");
    clock.advance(10_000);
    await reporter.flush();
    limiter.consumeSync("other", { cost: 0.5 });
    await reporter.flush();
    const { limiters, minutes } = await readReports({ store });
    const voted = { asked: 6, allowed: 4, denied: 2, shadowDenied: 0 };
    // What it said to the calls that were denied counts too.
    const said = { asked: 6, allowed: 2, denied: 0, shadowDenied: 4 };
    expect(limiters).toMatchObject([
      {
        ...voted,
        policies: [{ policy: "api", ...voted, mode: "enforce", limit: 3 }],
        shadows: [
          {
            policy: "api.candidate",
            ...said,
            mode: "shadow",
            limit: 1,
            windowMs: 3_600_000,
            units: { allowed: 1.5, denied: 0, shadowDenied: 4 },
          },
        ],
      },
    ]);
    expect(limiters[0]?.shadows[0]?.perSecond.asked).toBeGreaterThan(0);
    const written = minutes.filter((minute) => minute.policies.length > 0);
    expect(written).toMatchObject([
      {
        policies: [{ limiter: "edge", policy: "api", ...voted }],
        shadows: [{ limiter: "edge", policy: "api.candidate", ...said }],
      },
    ]);
  });

  test("shows who waits and who holds, of processes that report alone", async () => {
    const { clock, store, limiter } = setUp();
    const semaphore = new Semaphore({ store, limit: 3, name: "jobs", leaseDuration: "1h" });
    const options = { store, limiters: [limiter], semaphores: [semaphore] };
    const reporter = reporting(options);
    const permit = await semaphore.acquire("k");
    await semaphore.acquire("other");
    await reporter.flush();
    const name = "sluice:jobs~semaphore";
    const held = { semaphore: name, limit: 3, held: 2, waiting: 0, granted: 2, lost: 0 };
    expect((await readReports({ store })).semaphores).toEqual([held]);
    await permit.release();
    clock.advance(60_000);
    await reporter.flush();
    expect((await readReports({ store })).semaphores).toEqual([{ ...held, held: 1 }]);
    await reporter.end();
    expect((await readReports({ store })).semaphores).toEqual([{ ...held, held: 0 }]);
    await semaphore.close();
  });

  test("is written by a timer, which does not keep the process alive, until it ends", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { far, store, limiter } = setUp();
    const reporter = reporting({ store, limiters: [limiter], every: "250ms" });
    await vi.advanceTimersByTimeAsync(1000);
    expect(far.writes).toBe(4);
    await reporter.end();
    await vi.advanceTimersByTimeAsync(1000);
    await reporter.flush();
    await reporter[Symbol.asyncDispose]();
    expect(far.writes).toBe(5);
    expect(vi.getTimerCount()).toBe(0);
    expect(limiter.events.to.denial).toBeUndefined();
  });

  test("shows settings as they were last reported, whoever reported first", async () => {
    const { clock, store } = setUp();
    const limiterOf = (limit: number, enforce: boolean): RateLimiter<MemoryStore> => {
      const own = fixedWindow({ name: "api", limit, window: "1d" });
      return new RateLimiter({ policy: own, store, enforce, replace: true });
    };
    const older = limiterOf(10, false);
    const first = reporting({ store, limiters: [older] });
    older.consumeSync("k");
    await first.end();
    clock.advance(60_000);
    const newer = limiterOf(20, true);
    const second = reporting({ store, limiters: [newer] });
    newer.consumeSync("k");
    await second.flush();
    const { limiters } = await readReports({ store });
    expect(limiters[0]?.policies).toMatchObject([{ limit: 20, mode: "enforce", asked: 2 }]);
  });

  test("sums units to the thousandth", async () => {
    const { store, limiter } = setUp();
    const reporter = reporting({ store, limiters: [limiter] });
    for (let i = 0; i < 3; i++) limiter.consumeSync("k", { cost: 0.1 });
    await reporter.flush();
    const { limiters } = await readReports({ store });
    expect(limiter.stats().units.allowed).not.toBe(0.3);
    expect(limiters[0]?.policies[0]?.units.allowed).toBe(0.3);
  });

  test("sends only what has changed", async () => {
    const { far, store, limiter } = setUp();
    const reporter = reporting({ store, limiters: [limiter] });
    for (let i = 0; i < 3; i++) limiter.consumeSync("k");
    await reporter.flush();
    const first = far.written;
    await reporter.flush();
    expect(far.written - first).toBeLessThan(first / 3);
  });

  test("of a store in memory stays in the process for an hour", async () => {
    const clock = new ManualClock(START_MS);
    const store = new MemoryStore({ clock });
    const limiter = new RateLimiter({ policy, store });
    const reporter = reporting({ store, limiters: [limiter] });
    limiter.consumeSync("k");
    await reporter.flush();
    clock.advance(59 * 60_000);
    expect((await readReports({ store, minutes: 60 })).limiters).toHaveLength(1);
    clock.advance(2 * 60_000);
    await reporter.flush();
    clock.set(START_MS * 1e3);
    expect((await readReports({ store, minutes: 60 })).limiters).toEqual([]);
    expect((await readReports({ store: new MemoryStore() })).processes).toEqual([]);
  });
});

test("a set stands for the limiters behind it, those that come later too", async () => {
  const { clock, store } = setUp();
  const rule = {
    name: "api",
    key: ["user"],
    policy: { algorithm: "gcra", limit: 1, period: "1h" },
  };
  const document = { rules: [rule] } as PoliciesDocument;
  const rules = new PolicySet({ source: document, store });
  onTestFinished(() => rules.close());
  const reporter = reporting({ store, limiters: [rules, rules] });
  const ask = { entries: { user: "ann" } };
  for (let i = 0; i < 3; i++) await rules.consume(ask);
  rules.replace({ ...document, defaults: { onStoreFailure: "closed" } });
  for (let i = 0; i < 2; i++) await rules.consume(ask);
  clock.advance(1000);
  await reporter.flush();
  const { limiters } = await readReports({ store });
  expect(limiters).toMatchObject([{ limiter: "sluice", asked: 5, denied: 4 }]);
  expect(limiters[0]?.policies[0]).toMatchObject({
    policy: "api",
    asked: 5,
    topDenied: [{ id: keyId("user=ann"), atLeast: 4, atMost: 4 }],
  });
});

describe("while the store is away", () => {
  test("nothing throws, the hook is called once an outage, and counts are late", async () => {
    const { clock, far, store, limiter } = setUp();
    const onError = vi.fn(() => {
      throw new Error("of the hook");
    });
    const reporter = reporting({ store, limiters: [limiter], hooks: { onError } });
    limiter.consumeSync("k");
    await reporter.flush();
    far.fault = "fails";
    for (let i = 0; i < 3; i++) {
      limiter.consumeSync("k");
      clock.advance(60_000);
      await reporter.flush();
    }
    expect(onError).toHaveBeenCalledTimes(1);
    expect(onError).toHaveBeenCalledWith({ error: new Error("connection refused") });
    far.fault = "none";
    await reporter.flush();
    const { limiters, gaps, minutes, processes } = await readReports({ store });
    expect(limiters[0]?.asked).toBe(4);
    expect(minutes.map(({ policies }) => policies[0]?.asked)).toEqual([
      undefined,
      1,
      1,
      undefined,
      2,
    ]);
    const process = processes[0]?.process;
    const late = { process, kind: "late", decisions: 0 };
    expect(gaps).toEqual([
      { ...late, fromMs: START_MS, toMs: minutes[2]?.fromMs },
      { ...late, fromMs: START_MS + 60_000, toMs: minutes[4]?.fromMs },
    ]);
    far.fault = "loses";
    await reporter.flush();
    expect(onError).toHaveBeenCalledTimes(2);
  });

  test("what ends then is silent, and a store that is closed is left", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { clock, far, store, limiter } = setUp();
    const reporter = reporting({ store, limiters: [limiter] });
    await reporter.flush();
    far.fault = "fails";
    await reporter.end();
    clock.advance(10_000);
    expect((await readReports({ store: keeps(store, far) })).processes[0]?.state).toBe("reporting");
    clock.advance(1);
    expect((await readReports({ store })).processes[0]?.state).toBe("silent");
  });
});

function keeps(store: MemoryStore, far: FlakyReports): MemoryStore {
  far.fault = "none";
  return store;
}

test("a clock that goes back takes nothing away: the process starts again", async () => {
  const { clock, store, limiter } = setUp();
  const reporter = reporting({ store, limiters: [limiter] });
  limiter.consumeSync("k");
  await reporter.flush();
  clock.advance(120_000);
  limiter.consumeSync("k");
  await reporter.flush();
  clock.set(START_MS * 1e3);
  limiter.consumeSync("k");
  await reporter.flush();
  clock.advance(120_000);
  const { limiters, processes, gaps } = await readReports({ store });
  expect(limiters[0]?.asked).toBe(3);
  expect([processes.length, gaps.map(({ kind }) => kind)]).toEqual([2, ["late"]]);
});

test("what a newer release wrote is not counted, and said", async () => {
  const { far, store, limiter } = setUp();
  const minute = Math.floor(START_MS / 60e3);
  const fields = new Map([
    ["p:l:sluice:api", "1 allowed.ok.store=1"],
    ["p:l:sluice:other", "2 what"],
    ["q", "2 who"],
    ["q:l:sluice:api", "1 allowed.ok.store=1"],
  ]);
  const line = `1 1 ${START_MS} ${START_MS} ${START_MS} 0 1000 0`;
  await far.write({ name: "sluice", minute }, { process: "p", turn: 1, line, fields });
  const { limiters, unreadable } = await readReports({ store });
  expect([limiters[0]?.asked, unreadable]).toEqual([1, 2]);
  await limiter.close();
});

test("10,000 names of policies and 1,000,000 keys stay within bounds", async () => {
  const { far, store } = setUp();
  let name = "";
  const limiters = Array.from(
    { length: 10 },
    () =>
      new RateLimiter({
        policy: () => fixedWindow({ name, limit: 0, window: "1h" }),
        policyCache: { maxAge: 0 },
        store,
      }),
  );
  const single = new RateLimiter({ policy: fixedWindow({ limit: 0, window: "1h" }), store });
  const reporter = reporting({ store, limiters: [single, ...limiters] });
  for (let key = 0; key < 1_000_000; key++) {
    single.consumeSync(key % 10 === 0 ? "loud" : `quiet ${key}`);
  }
  for (let i = 0; i < 10_000; i++) {
    name = `policy-with-a-name-of-sixty-four-characters-that-is-its-${i % 1000}-${i % 10}`;
    limiters[i % 10]?.consumeSync(`first ${i}`);
  }
  for (let i = 0; i < 50; i++) {
    name = `policy-with-a-name-of-sixty-four-characters-that-is-its-${i}-${i % 10}`;
    for (let key = 0; key < 300; key++) limiters[i % 10]?.consumeSync(`many ${key}`);
  }
  await reporter.flush();
  const [all] = (await readReports({ store })).limiters;
  const policies = all?.policies ?? [];
  expect(policies).toHaveLength(101);
  expect(all?.denied).toBe(1_000_000 + 10_000 + 15_000);
  const one = policies.find(({ policy: each }) => each === "fixed-window");
  const [loud] = one?.topDenied ?? [];
  expect(loud?.id).toBe(keyId("loud"));
  expect(loud?.atMost).toBeGreaterThanOrEqual(100_000);
  expect(loud?.atLeast).toBeGreaterThan(100_000 - 1_000_000 / 100);
  const ids = policies.reduce((sum, { topDenied }) => sum + topDenied.length, 0);
  expect(ids).toBeLessThanOrEqual(1000);
  // A hundred names of 64 characters, and a thousand ids.
  expect(far.largest()).toBeLessThan(64_000);
});

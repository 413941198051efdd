/** What stats() says, beside what the events of the same calls say. */
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { HeldStore } from "../../test/support/held-store.js";
import { runs } from "../../test/support/runs.js";
import {
  consumeAtomic,
  type DecisionMade,
  fixedWindow,
  type LimiterStats,
  MemoryStore,
  RateLimiter,
  type RateLimiterOptions,
  type Store,
  tokenBucket,
} from "../index.js";
import { ManualClock } from "../testing/index.js";

const policy = tokenBucket({ name: "api", limit: 20, period: "1h" });

function inMemory(options: Partial<RateLimiterOptions> = {}): RateLimiter<MemoryStore> {
  const store = new MemoryStore({ clock: new ManualClock() });
  return new RateLimiter({ policy, ...options, store });
}

function outside<S extends Store>(
  store: S,
  options: Partial<RateLimiterOptions<S>> = {},
): RateLimiter<S> {
  const limiter = new RateLimiter({
    policy,
    timeout: "30s",
    hooks: { onError: () => {} },
    ...options,
    store,
  });
  onTestFinished(() => limiter.close());
  return limiter;
}

/** What there was, as "policy outcome reason source": how many and how many units. */
function cellsOf({ decisions }: LimiterStats): Readonly<Record<string, readonly [number, number]>> {
  return Object.fromEntries(
    decisions
      .filter(({ count }) => count > 0)
      .map(({ policy: name, outcome, reason, source, count, units }) => [
        `${name} ${outcome} ${reason} ${source}`,
        [count, units],
      ]),
  );
}

test("a call that ends with its limiter failed, and was not aborted by its caller", async () => {
  const limiter = outside(new HeldStore());
  const calls = [limiter.reserve("k"), limiter.acquire("k")];
  await limiter.close();
  await expect(calls[0]).rejects.toThrow("closed");
  await expect(calls[1]).rejects.toThrow("closed");
  expect(limiter.stats()).toMatchObject({ aborted: 0, failed: 2 });
});

describe("stats", () => {
  test("begin with a zero for each fixed policy, its limit and its window", () => {
    const { decisions, policies, ...stats } = inMemory({
      policy: [policy, fixedWindow({ name: "day", limit: 100, window: "1d" })],
    }).stats();
    expect(stats).toMatchObject({ limiter: "sluice", allowed: 0, denied: 0, withoutStore: 0 });
    expect(decisions.map((each) => [each.policy, each.outcome, each.count])).toEqual([
      ["api", "allowed", 0],
      ["api", "denied", 0],
      ["day", "allowed", 0],
      ["day", "denied", 0],
    ]);
    expect(policies).toEqual([
      { policy: "api", limit: 20, windowMs: 3_600_000, mode: "enforce", nearLimit: 0 },
      { policy: "day", limit: 100, windowMs: 86_400_000, mode: "enforce", nearLimit: 0 },
    ]);
  });

  test("count what asks for quota, by reason, with its units; and nothing else", async () => {
    const limiter = inMemory();
    await limiter.consume("k", { cost: 4 });
    limiter.consumeSync("k", { cost: 0.5 });
    // 15.5 are left: 15 of them whole.
    await limiter.consumeUpTo("k", { cost: 18 });
    await limiter.consume("k", { cost: 2 });
    await limiter.consume("k", { cost: 21 });
    await limiter.reserve("other", { cost: 3 });
    await limiter.block("k", "1h");
    await limiter.consume("k");
    await limiter.peek("k");
    await limiter.refund("k", 1);
    await limiter.penalize("k", 1);
    await limiter.settle("k", { reserved: 1, actual: 1 });
    await limiter.reset("k");
    const stats = limiter.stats();
    expect(cellsOf(stats)).toEqual({
      "api allowed ok store": [4, 22.5],
      "api denied quota store": [1, 2],
      "api denied too-costly store": [1, 21],
      "api denied blocked store": [1, 1],
    });
    expect(stats).toMatchObject({ allowed: 4, denied: 3, shadowDenied: 0, nearLimit: 1 });
    expect(stats.units).toEqual({ allowed: 22.5, denied: 24, shadowDenied: 0 });
  });

  test("are near the limit where a tenth or less is left, as the hook is", async () => {
    const near: number[] = [];
    const silent = inMemory();
    const heard = inMemory({
      hooks: { onNearLimit: ({ decision }) => near.push(decision.remaining) },
    });
    for (const limiter of [silent, heard]) {
      for (let i = 0; i < 21; i++) await limiter.consume("k");
      expect(limiter.stats()).toMatchObject({ nearLimit: 3, allowed: 20, denied: 1 });
    }
    expect(near).toEqual([2, 1, 0]);
    const unlimited = inMemory({ policy: tokenBucket({ limit: 1e9, period: "1s" }) });
    await unlimited.consume("k");
    expect(unlimited.stats().nearLimit).toBe(0);
  });

  test("name the policy that decides, and what shadow mode would have denied", async () => {
    const small = tokenBucket({ name: "small", limit: 2, period: "1h" });
    const limiter = inMemory({ policy: [policy, small], enforce: false });
    for (let i = 0; i < 3; i++) expect((await limiter.consume("k")).allowed).toBe(true);
    expect(cellsOf(limiter.stats())).toEqual({
      "small allowed ok store": [2, 2],
      "small shadow-denied quota store": [1, 1],
    });
    expect(limiter.stats()).toMatchObject({ allowed: 2, denied: 0, shadowDenied: 1 });
    expect(limiter.stats().policies.map(({ mode }) => mode)).toEqual(["shadow", "shadow"]);
  });

  test("show the limit in force, not the options of one call", async () => {
    const limiter = inMemory();
    await limiter.consume("k", { policy: tokenBucket({ limit: 5, period: "1h" }) });
    await limiter.consume("k");
    expect(limiter.stats().policies).toMatchObject([{ policy: "api", limit: 20 }]);
  });

  test("keep a hundred names of policies; all others are one", async () => {
    const limiter = inMemory({
      policy: (key) => tokenBucket({ name: key, limit: 20, period: "1h" }),
    });
    for (let i = 0; i < 148; i++) await limiter.consume(`plan-${i}`);
    await limiter.consume("other");
    await limiter.consume("another");
    await limiter.consume("plan-7");
    const { decisions, policies, allowed } = limiter.stats();
    expect(policies).toHaveLength(101);
    expect(policies.at(-1)).toMatchObject({ policy: "other", limit: undefined });
    expect(policies[7]).toMatchObject({ policy: "plan-7", limit: 20 });
    expect(allowed).toBe(151);
    const countOf = (name: string): number =>
      decisions.filter((each) => each.policy === name).reduce((sum, { count }) => sum + count, 0);
    expect([countOf("other"), countOf("plan-7")]).toEqual([50, 2]);
  });

  test("of a call on several limiters: what is charged or denied", async () => {
    const store = new MemoryStore({ clock: new ManualClock() });
    const a = new RateLimiter({ policy, store, namespace: "a" });
    const b = new RateLimiter({ policy, store, namespace: "b" });
    await consumeAtomic([
      { limiter: a, key: "k" },
      { limiter: b, key: "k", cost: 20 },
    ]);
    await consumeAtomic([
      { limiter: a, key: "k" },
      { limiter: b, key: "k" },
    ]);
    expect(a.stats()).toMatchObject({ allowed: 1, denied: 0 });
    expect(b.stats()).toMatchObject({ allowed: 1, denied: 1 });
    const aborted = AbortSignal.abort();
    const call = consumeAtomic([{ limiter: a, key: "k" }], { signal: aborted });
    await expect(call).rejects.toThrow("aborted");
    expect(a.stats()).toMatchObject({ allowed: 1, denied: 0, aborted: 1 });
  });
});

describe("without the store", () => {
  class FailingStore extends HeldStore {
    override submit(...asked: Parameters<HeldStore["submit"]>): void {
      super.submit(...asked);
      this.settleAll(new Error("READONLY You can't write against a read only replica."));
    }
  }
  const down = (): HeldStore => new FailingStore();

  test.each([
    ["local", { "api allowed ok local": [2, 2] }],
    ["open", { "api allowed store fail-open": [2, 2] }],
    ["closed", { "api denied store fail-closed": [2, 2] }],
  ] as const)("%s", async (onStoreFailure, cells) => {
    for (const enforce of [true, false]) {
      const limiter = outside(down(), { onStoreFailure, enforce });
      await limiter.consume("k");
      await limiter.consume("k");
      const shown = Object.entries(cells).map(([name, counts]) => [
        enforce ? name : name.replace("denied", "shadow-denied"),
        counts,
      ]);
      expect(cellsOf(limiter.stats())).toEqual(Object.fromEntries(shown));
      expect(limiter.stats().withoutStore).toBe(2);
    }
  });

  test("throw: they failed, each once; those that were given up were aborted", async () => {
    const limiter = outside(down(), { onStoreFailure: "throw" });
    await expect(limiter.consume("k")).rejects.toThrow("the store failed");
    await expect(limiter.consumeUpTo("k", { cost: 2 })).rejects.toThrow("the store failed");
    await expect(limiter.peek("k")).rejects.toThrow("the store failed");
    expect(limiter.stats()).toMatchObject({ failed: 2, aborted: 0, allowed: 0, denied: 0 });
    const held = new HeldStore();
    const waiting = outside(held, { onStoreFailure: "throw" });
    const abort = new AbortController();
    const call = waiting.consume("k", { signal: abort.signal });
    abort.abort();
    await expect(call).rejects.toThrow("aborted");
    await expect(waiting.consume("k", { signal: abort.signal })).rejects.toThrow("aborted");
    await expect(inMemory().consume("k", { cost: -1 })).rejects.toThrow("cost");
    expect(waiting.stats()).toMatchObject({ failed: 0, aborted: 2, allowed: 0, denied: 0 });
    const counted = inMemory();
    await expect(counted.consume("k", { signal: abort.signal })).rejects.toThrow("aborted");
    expect(counted.stats()).toMatchObject({ aborted: 1, failed: 0 });
    held.settleAll();
  });

  test("one that is closed denies for all of a set, and that is counted", async () => {
    const store = down();
    const closed = outside(store, { namespace: "a", onStoreFailure: "closed" });
    const open = outside(store, { namespace: "b", onStoreFailure: "open" });
    const requests = [closed, open].map((limiter) => ({ limiter, key: "k" }));
    expect((await consumeAtomic(requests)).allowed).toBe(false);
    expect(closed.stats()).toMatchObject({ allowed: 0, denied: 1, withoutStore: 1 });
    expect(open.stats()).toMatchObject({ allowed: 0, denied: 0 });
  });

  test("a fallback's answer is one of both limiters", async () => {
    const fallback = inMemory();
    const limiter = outside(down(), { onStoreFailure: { fallback } });
    await limiter.consume("k");
    await limiter.consume("k", { cost: 20 });
    expect(cellsOf(limiter.stats())).toEqual({
      "api allowed ok fallback": [1, 1],
      "api denied quota fallback": [1, 20],
    });
    expect(fallback.stats()).toMatchObject({ allowed: 1, denied: 1 });
    const open = outside(down(), { onStoreFailure: "open" });
    const twice = outside(down(), { onStoreFailure: { fallback: open } });
    await twice.consume("k");
    expect(cellsOf(twice.stats())).toEqual({ "api allowed store fallback": [1, 1] });
  });

  test("no policies", async () => {
    const limiter = outside(new HeldStore(), {
      policy: () => Promise.reject(new Error("the database is down")),
      onStoreFailure: "closed",
    });
    await limiter.consume("k");
    expect(cellsOf(limiter.stats())).toEqual({ " denied store fail-closed": [1, 1] });
    const loud = outside(new HeldStore(), {
      policy: () => Promise.reject(new Error("the database is down")),
      onStoreFailure: "throw",
    });
    await expect(loud.consume("k")).rejects.toThrow("could not be fetched");
    expect(loud.stats()).toMatchObject({ failed: 1, allowed: 0, denied: 0 });
  });
});

test("waits: who is in line, and how it ended", async () => {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }), store });
  await limiter.acquire("k");
  const abort = new AbortController();
  const waiting = [limiter.acquire("k"), limiter.acquire("k", { signal: abort.signal })];
  await expect(limiter.acquire("k", { maxWait: 0 })).rejects.toThrow("no quota");
  expect(limiter.stats().waits.waiting).toBe(2);
  abort.abort();
  await expect(waiting[1]).rejects.toThrow("aborted");
  await clock.advanceAsync(1000);
  await waiting[0];
  const { waiting: left, waitedMs, lateMs } = limiter.stats().waits;
  expect([left, waitedMs.started.count, waitedMs.refused.count, waitedMs.failed.count]).toEqual([
    0, 2, 1, 1,
  ]);
  expect(lateMs.count).toBe(2);
});

type Call = {
  readonly verb: "consume" | "consumeUpTo" | "reserve" | "peek";
  readonly cost: number;
};

test("the counts of calls that nobody listens to are those of the events of the same calls", async () => {
  const calls = fc.array(
    fc.record<Call>({
      verb: fc.constantFrom("consume", "consumeUpTo", "reserve", "peek"),
      cost: fc.integer({ min: 1, max: 25 }),
    }),
    { maxLength: 20 },
  );
  const many = [policy, tokenBucket({ name: "burst", limit: 12, period: "1m" })];
  const play = async (limiter: RateLimiter, list: readonly Call[]): Promise<void> => {
    for (const { verb, cost } of list) {
      if (verb === "reserve") await limiter.reserve("k", { cost, maxWait: 0 });
      else await limiter[verb]("k", { cost });
    }
  };
  const property = fc.asyncProperty(
    calls,
    fc.boolean(),
    fc.boolean(),
    async (list, both, enforce) => {
      const options = { policy: both ? many : policy, enforce };
      const silent = inMemory(options);
      const heard = inMemory(options);
      const events: DecisionMade[] = [];
      heard.events.on("decision", (event) => events.push(event));
      await play(silent, list);
      await play(heard, list);
      expect(silent.stats()).toEqual(heard.stats());
      const asked = events.filter(({ verb }) => verb !== "peek");
      const { allowed, denied, shadowDenied, units } = silent.stats();
      expect(allowed).toBe(asked.filter(({ decision }) => decision.reason === "ok").length);
      expect(allowed + denied + shadowDenied).toBe(asked.length);
      expect(units.denied + units.shadowDenied).toBe(
        asked
          .filter(({ decision }) => decision.reason !== "ok")
          .reduce((sum, { cost }) => sum + cost, 0),
      );
    },
  );
  await fc.assert(property, { numRuns: runs(200) });
});

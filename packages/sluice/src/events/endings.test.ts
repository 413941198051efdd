/** Events of what ends without an answer, beside the counts of the same. */
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, onTestFinished, test } from "vitest";
import { HeldStore } from "../../test/support/held-store.js";
import { settle } from "../../test/support/watch.js";
import {
  type CallUndecided,
  consumeAtomic,
  type DecisionMade,
  MemoryStore,
  type PermitEnded,
  RateLimiter,
  type RoundTripEnded,
  Semaphore,
  StoreUnavailableError,
  tokenBucket,
  type WaitEnded,
} from "../index.js";
import { RedisStore } from "../stores/redis/index.js";
import { ManualClock } from "../testing/index.js";

const policy = tokenBucket({ limit: 1, period: "1s" });
const lost = new StoreUnavailableError("connection lost");

function throwing(store: HeldStore, namespace = "api"): RateLimiter<HeldStore> {
  const limiter = new RateLimiter({
    policy,
    namespace,
    store,
    timeout: "30s",
    onStoreFailure: "throw",
    breaker: false,
  });
  onTestFinished(() => limiter.close());
  return limiter;
}

function undecidedOf(limiter: RateLimiter): CallUndecided[] {
  const heard: CallUndecided[] = [];
  limiter.events.on("undecided", (event) => heard.push(event));
  return heard;
}

describe("undecided", () => {
  test.each<[string, (limiter: RateLimiter, key: string) => Promise<unknown>]>([
    ["consume", (limiter, key) => limiter.consume(key)],
    ["consume", (limiter, key) => limiter.consumeMany([{ key }])],
    ["consume", (limiter, key) => consumeAtomic([{ limiter, key }])],
    ["consumeUpTo", (limiter, key) => limiter.consumeUpTo(key, { cost: 1 })],
    ["reserve", (limiter, key) => limiter.reserve(key)],
    ["peek", (limiter, key) => limiter.peek(key)],
    ["refund", (limiter, key) => limiter.refund(key, 1)],
    ["penalize", (limiter, key) => limiter.penalize(key, 1)],
  ])("tells of a %s that throws, in its caller's context, each once", async (verb, ask) => {
    const store = new HeldStore();
    const limiter = throwing(store);
    const context = new AsyncLocalStorage<string>();
    const heard: [CallUndecided, string | undefined][] = [];
    limiter.events.on("undecided", (event) => heard.push([event, context.getStore()]));
    const calls = ["ann", "bob"].map((name) => context.run(name, () => ask(limiter, name)));
    context.run("whoever answers", () => {
      store.settleAll(lost);
    });
    for (const call of calls) await expect(call).rejects.toBe(lost);
    expect(heard.map(([{ key }, where]) => [key, where])).toEqual([
      ["ann", "ann"],
      ["bob", "bob"],
    ]);
    const known = { limiter: "api", verb, cost: 1, error: lost, aborted: false };
    expect(heard[0]?.[0]).toMatchObject(known);
    expect(heard[0]?.[0].durationMs).toBeGreaterThan(0);
    const asks = ["consume", "consumeUpTo", "reserve"].includes(verb);
    expect(limiter.stats().failed).toBe(asks ? 2 : 0);
  });

  test("says whether the caller gave up, before it was asked and after", async () => {
    const limiter = throwing(new HeldStore());
    const inMemory = new RateLimiter({ policy });
    const heard = [undecidedOf(limiter), undecidedOf(inMemory)];
    const controller = new AbortController();
    const calls = [
      limiter.consume("k", { signal: AbortSignal.abort() }),
      limiter.consumeMany([{ key: "k" }], { signal: AbortSignal.abort() }),
      limiter.consume("k", { signal: controller.signal, slot: "s" }),
      inMemory.consume("k", { signal: AbortSignal.abort(), cost: 0.5, slot: "s" }),
    ];
    controller.abort();
    for (const call of calls) await expect(call).rejects.toThrow("aborted");
    expect(heard.flat().map(({ aborted, cost, slot }) => [aborted, cost, slot])).toEqual([
      [true, 1, undefined],
      [true, 1, undefined],
      [true, 1, "s"],
      [true, 0.5, "s"],
    ]);
    expect([limiter.stats().aborted, inMemory.stats().aborted]).toEqual([3, 1]);
  });

  test("tells of a full memory where that throws", async () => {
    const store = new MemoryStore({ maxKeys: 1, clock: new ManualClock() });
    const limiter = new RateLimiter({ policy, store, onStoreFailure: "throw" });
    await limiter.block("blocked", "1h");
    const heard = undecidedOf(limiter);
    const full = { code: "STORE_FULL" };
    expect(() => limiter.consumeSync("new", { slot: "s" })).toThrow(expect.objectContaining(full));
    await expect(limiter.consume("new")).rejects.toMatchObject(full);
    const known = { limiter: "sluice", verb: "consume", key: "new", cost: 1, durationMs: 0 };
    expect(heard).toMatchObject([
      { ...known, slot: "s", error: full, aborted: false },
      { ...known, error: full, aborted: false },
    ]);
    expect(limiter.stats().failed).toBe(2);
  });

  test("refuses a key that is none before it looks at the signal", async () => {
    const limiter = new RateLimiter({ policy });
    const heard = undecidedOf(limiter);
    const call = limiter.consume(5 as never, { signal: AbortSignal.abort() });
    await expect(call).rejects.toThrow("key: ");
    expect(heard).toEqual([]);
  });
});

describe("the events of a wait", () => {
  test("have one number, those of each decision on the way too", async () => {
    const clock = new ManualClock();
    const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
    const decisions: DecisionMade[] = [];
    const ends: WaitEnded[] = [];
    limiter.events.on("decision", (event) => decisions.push(event));
    limiter.events.on("waitEnded", (event) => ends.push(event));
    await limiter.acquire("k");
    await limiter.reserve("other");
    expect(decisions.map(({ wait }) => wait)).toEqual([ends[0]?.wait, undefined]);
    expect(ends[0]?.wait).toBeGreaterThan(0);
  });

  test("say whether the caller gave up", async () => {
    const limiter = new RateLimiter({ policy, store: new MemoryStore() });
    const semaphore = new Semaphore({ limit: 1 });
    const ends: WaitEnded[] = [];
    const controller = new AbortController();
    const { signal } = controller;
    await limiter.acquire("k", { cost: 1 });
    await semaphore.acquire("k");
    for (const { events } of [limiter, semaphore]) events.on("waitEnded", (end) => ends.push(end));
    const aborted = [limiter.acquire("k", { signal }), semaphore.acquire("k", { signal })];
    controller.abort();
    for (const call of aborted) await expect(call).rejects.toThrow("aborted");
    const closed = [limiter.acquire("k"), semaphore.acquire("k")];
    await settle();
    await Promise.all([limiter.close(), semaphore.close()]);
    for (const call of closed) await expect(call).rejects.toThrow("closed");
    expect(ends.map(({ outcome, aborted: isAborted }) => [outcome, isAborted])).toEqual([
      ["failed", true],
      ["failed", true],
      ["failed", false],
      ["failed", false],
    ]);
  });
});

test("roundTrip tells of each script what the counts hold, of limiters and semaphores", async () => {
  const gone = new Error("connection lost");
  const store = new RedisStore({ client: () => Promise.reject(gone) });
  const options = { store, timeout: "30s", breaker: false } as const;
  const limiter = new RateLimiter({ policy, ...options });
  const semaphore = new Semaphore({ limit: 1, ...options });
  const heard: RoundTripEnded[] = [];
  store.events.on("roundTrip", (event) => heard.push(event));
  await Promise.all([limiter.consume("a"), limiter.consume("b")]);
  await expect(semaphore.inspect("k")).rejects.toThrow("connection lost");
  const { error, ok } = store.stats().tripMs;
  expect(heard.map((trip) => trip.error)).toEqual([gone, gone]);
  expect([error.count, ok.count]).toEqual([2, 0]);
  expect(heard.reduce((sum, { durationMs }) => sum + durationMs, 0)).toBeCloseTo(error.sum, 9);
  await Promise.all([limiter.close(), semaphore.close()]);
  await store.close();
});

test("permitEnded tells once of each permit how long it was held, as the counts do", async () => {
  const semaphore = new Semaphore({ limit: 5, name: "jobs" });
  const heard: PermitEnded[] = [];
  semaphore.events.on("permitEnded", (event) => heard.push(event));
  const first = await semaphore.acquire("k", { weight: 2 });
  const second = semaphore.tryAcquireSync("k");
  expect(semaphore.stats().held).toBe(3);
  await first.release();
  await first.release();
  await semaphore.close();
  await second?.release();
  const { held, heldMs, lost: lostPermits } = semaphore.stats();
  expect([held, lostPermits, heldMs.count]).toEqual([0, 1, 2]);
  expect(heard.map(({ semaphore: name, key, weight }) => [name, key, weight])).toEqual([
    ["sluice:jobs~semaphore", "k", 2],
    ["sluice:jobs~semaphore", "k", 1],
  ]);
  expect(heard.reduce((sum, event) => sum + event.heldMs, 0)).toBeCloseTo(heldMs.sum, 9);
});

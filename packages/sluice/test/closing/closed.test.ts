/** What is closed: who waits is rejected, nothing under way is admitted because of it, and nothing begins any more. */
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  ClosedError,
  consumeAtomic,
  MemoryStore,
  RateLimiter,
  type RateLimiterOptions,
  Semaphore,
  type Store,
  tokenBucket,
} from "../../src/index.js";
import { limitFetch } from "../../src/outgoing/fetch.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import type { SemaphoreStore } from "../../src/stores/semaphore-store.js";
import { ManualClock } from "../../src/testing/index.js";
import { eventually } from "../support/eventually.js";
import { HeldStore } from "../support/held-store.js";

const policy = tokenBucket({ limit: 10, period: "10s" });

/** A store on a server that takes every call and answers none. */
function hungStore(hooks?: { onError: () => void }): RedisStore {
  const client = () => new Promise<never>(() => {});
  return new RedisStore({ client, ...(hooks !== undefined && { hooks }) });
}

function turns(): Promise<unknown> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Why each was rejected; undefined for one that was not. */
function reasonsOf(outcomes: readonly PromiseSettledResult<unknown>[]): readonly unknown[] {
  return outcomes.map((outcome) =>
    outcome.status === "rejected" ? (outcome.reason as unknown) : undefined,
  );
}

const verbs: readonly (readonly [string, (limiter: RateLimiter) => Promise<unknown>])[] = [
  ["consume", (limiter) => limiter.consume("k")],
  ["consume with a policy", (limiter) => limiter.consume("k", { policy })],
  ["consumeUpTo", (limiter) => limiter.consumeUpTo("k", { cost: 2 })],
  ["consumeMany", (limiter) => limiter.consumeMany([{ key: "k" }])],
  ["consumeAtomic", (limiter) => consumeAtomic([{ limiter, key: "k" }])],
  [
    "consumeAtomic in order",
    (limiter) => consumeAtomic([{ limiter, key: "k" }], { atomic: false }),
  ],
  ["peek", (limiter) => limiter.peek("k")],
  ["refund", (limiter) => limiter.refund("k", 1)],
  ["penalize", (limiter) => limiter.penalize("k", 1)],
  ["reserve", (limiter) => limiter.reserve("k")],
  ["acquire", (limiter) => limiter.acquire("k")],
  ["wrap", (limiter) => limiter.wrap(() => 1, { key: "k" })()],
  ["block", (limiter) => limiter.block("k", "1s")],
  ["unblock", (limiter) => limiter.unblock("k")],
  ["reset", (limiter) => limiter.reset("k")],
];
const semaphoreVerbs: readonly (readonly [string, (semaphore: Semaphore) => Promise<unknown>])[] = [
  ["acquire", (semaphore) => semaphore.acquire("k")],
  ["tryAcquire", (semaphore) => semaphore.tryAcquire("k")],
  ["withPermit", (semaphore) => semaphore.withPermit("k", () => 1)],
  ["setLimit", (semaphore) => semaphore.setLimit("k", 2)],
  ["inspect", (semaphore) => semaphore.inspect("k")],
];
const stores: readonly (readonly [string, () => Store])[] = [
  ["a MemoryStore", () => new MemoryStore()],
  ["a RedisStore", () => hungStore()],
];

describe.each(stores)("on %s", (_, makeStore) => {
  describe.each(["limiter", "store"] as const)("after %s.close()", (closed) => {
    test.each(verbs)("%s rejects with a ClosedError", async (_verb, call) => {
      const store = makeStore();
      const onError = vi.fn();
      const limiter = new RateLimiter({ policy, store, hooks: { onError } });
      await (closed === "limiter" ? limiter : store).close();
      const error: unknown = await call(limiter).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ClosedError);
      expect(error).toMatchObject({
        code: "CLOSED",
        message: `the ${closed} is closed`,
        docs: "docs/errors.md#closed",
      });
      expect(limiter.closed.aborted).toBe(true);
      expect(limiter.closed.reason).toBeInstanceOf(ClosedError);
      expect(onError).not.toHaveBeenCalled();
      await limiter.close();
    });
  });

  describe.each(["semaphore", "store"] as const)("after %s.close()", (closed) => {
    test.each(semaphoreVerbs)("%s rejects with a ClosedError", async (_verb, call) => {
      const store = makeStore();
      const onError = vi.fn();
      const semaphore = new Semaphore({ limit: 1, store, hooks: { onError } });
      await (closed === "semaphore" ? semaphore : store).close();
      await expect(call(semaphore)).rejects.toThrow(ClosedError);
      await expect(call(semaphore)).rejects.toThrow(`the ${closed} is closed`);
      expect(semaphore.closed.aborted).toBe(true);
      expect(onError).not.toHaveBeenCalled();
      await semaphore.close();
    });
  });
});

test("consumeSync throws on a closed limiter and on a closed store", async () => {
  for (const closes of ["limiter", "store"] as const) {
    const store = new MemoryStore();
    const limiter = new RateLimiter({ policy, store });
    expect(limiter.consumeSync("k").allowed).toBe(true);
    await (closes === "limiter" ? limiter : store).close();
    expect(() => limiter.consumeSync("k")).toThrow(`the ${closes} is closed`);
    expect(() => limiter.consumeSync("k", { policy })).toThrow(ClosedError);
  }
});

test("a limiter made on a closed store is closed", async () => {
  const store = new MemoryStore();
  await store.close();
  await expect(new RateLimiter({ policy, store }).consume("k")).rejects.toThrow(ClosedError);
  await expect(new Semaphore({ limit: 1, store }).acquire("k")).rejects.toThrow(ClosedError);
});

const failurePolicies: readonly (readonly [string, () => Partial<RateLimiterOptions>])[] = [
  ["its default", () => ({})],
  ['"open"', () => ({ onStoreFailure: "open" })],
  ['"closed"', () => ({ onStoreFailure: "closed" })],
  ['"throw"', () => ({ onStoreFailure: "throw" })],
  ["a fallback", () => ({ onStoreFailure: { fallback: new RateLimiter({ policy }) } })],
];

describe.each(failurePolicies)("with %s for onStoreFailure", (_, options) => {
  test("store.close() rejects 100 calls under way, each with its own error, and nobody reports an outage", async () => {
    const onError = vi.fn();
    const store = hungStore({ onError });
    // At once: nobody waits for the deadline.
    const hooks = { onError };
    const limiter = new RateLimiter({ ...options(), policy, store, hooks, timeout: "1h" });
    const calls = Array.from({ length: 100 }, (_call, i) => limiter.consume(`k${i % 7}`));
    const many = limiter.consumeMany([{ key: "a" }, { key: "b" }]);
    const atomic = consumeAtomic([{ limiter, key: "a" }]);
    const outcomes = Promise.allSettled([...calls, many, atomic]);
    await turns();
    const queued = limiter.consume("last").catch((reason: unknown) => reason);
    await store.close();
    const reasons = reasonsOf(await outcomes);
    expect(reasons.every((reason) => reason instanceof ClosedError)).toBe(true);
    expect(new Set(reasons).size).toBe(reasons.length);
    expect(await queued).toBeInstanceOf(ClosedError);
    expect(onError).not.toHaveBeenCalled();
  });

  test("limiter.close() admits nothing that the store does not answer", async () => {
    const store = hungStore();
    const limiter = new RateLimiter({ ...options(), policy, store, timeout: 20 });
    const outcomes = Promise.allSettled([limiter.consume("a"), limiter.peek("b")]);
    await limiter.close();
    for (const outcome of await outcomes) {
      expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(ClosedError);
    }
  });

  test("a closed store is closed also where its breaker is open", async () => {
    const store = new RedisStore({ client: () => Promise.reject(new Error("down")) });
    const limiter = new RateLimiter({ ...options(), policy, store });
    for (let i = 0; i < 10; i++) await limiter.consume("k").catch(() => {});
    await store.close();
    await expect(limiter.consume("k")).rejects.toThrow("the store is closed");
  });
});

test("calls under way when a limiter is closed are answered by the store", async () => {
  const store = new HeldStore();
  const limiter = new RateLimiter({ policy, store });
  const consuming = limiter.consume("k");
  const closing = limiter.close();
  store.settleAll();
  expect(await consuming).toMatchObject({ allowed: true, source: "store" });
  await closing;
});

test("two limiters of one store: closing one closes neither the store nor the other", async () => {
  const store = new MemoryStore();
  const [one, two] = [new RateLimiter({ policy, store }), new RateLimiter({ policy, store })];
  const semaphore = new Semaphore({ limit: 1, store });
  await one.close();
  expect(store.closed.aborted).toBe(false);
  expect((await two.consume("k")).allowed).toBe(true);
  await (await semaphore.acquire("k")).release();
  await semaphore.close();
  expect(two.consumeSync("k").allowed).toBe(true);
  await store.close();
  await expect(two.consume("k")).rejects.toThrow("the store is closed");
});

test("a limiter's own store is closed with it, and a semaphore on that store", async () => {
  const limiter = new RateLimiter({ policy });
  const semaphore = new Semaphore({ limit: 1, store: limiter.store });
  {
    await using own = limiter;
    await own.consume("k");
  }
  await expect(limiter.consume("k")).rejects.toThrow("the limiter is closed");
  await expect(semaphore.acquire("k")).rejects.toThrow("the store is closed");
});

test("a second close is the first one, still under way", async () => {
  const store = new HeldStore();
  const limiter = new RateLimiter({ policy, store, prefetch: { size: 5, ttl: "1m" } });
  const consuming = limiter.consume("k");
  store.settleAll();
  await consuming;
  let closed = 0;
  const both = [limiter.close(), limiter.close()].map((closing) => closing.then(() => closed++));
  await turns();
  expect(closed).toBe(0);
  expect(store.held.length).toBe(1);
  store.settleAll();
  await Promise.all(both);
});

describe("a fallback", () => {
  test("that is closed rejects what it is asked for", async () => {
    const fallback = new RateLimiter({ policy });
    const store = new RedisStore({ client: () => Promise.reject(new Error("down")) });
    const limiter = new RateLimiter({ policy, store, onStoreFailure: { fallback } });
    expect((await limiter.consume("k")).source).toBe("fallback");
    await fallback.close();
    await expect(limiter.consume("k")).rejects.toThrow(ClosedError);
    await limiter.close();
  });

  test("stays open when its limiter is closed", async () => {
    const fallback = new RateLimiter({ policy });
    const limiter = new RateLimiter({ policy, store: hungStore(), onStoreFailure: { fallback } });
    await limiter.close();
    expect((await fallback.consume("k")).allowed).toBe(true);
  });
});

describe("those who wait for quota", () => {
  interface Line {
    readonly store: MemoryStore;
    readonly limiter: RateLimiter<MemoryStore>;
    readonly waits: Promise<PromiseSettledResult<unknown>[]>;
    readonly ran: () => number;
  }

  /** Ten starts are taken, and more wait. */
  async function line(): Promise<Line> {
    const store = new MemoryStore({ clock: new ManualClock() });
    const limiter = new RateLimiter({ policy, store });
    let runs = 0;
    await limiter.consume("k", { cost: 10 });
    const wrapped = limiter.wrap(() => (runs += 1), { key: "k" });
    const signal = new AbortController().signal;
    const waits = [limiter.acquire("k"), limiter.acquire("k", { signal }), wrapped()];
    const outcomes = Promise.allSettled<unknown>(waits);
    await turns();
    return { store, limiter, waits: outcomes, ran: () => runs };
  }

  test("are rejected by limiter.close(), which gives back what they were promised", async () => {
    const { store, limiter, waits, ran } = await line();
    await limiter.close();
    const next = await new RateLimiter({ policy, store }).reserve("k");
    expect(next).toMatchObject({ allowed: true, delayMs: 1000 });
    const outcomes = await waits;
    for (const outcome of outcomes) {
      expect((outcome as PromiseRejectedResult).reason).toMatchObject({
        code: "CLOSED",
        message: "the limiter is closed",
      });
    }
    // Each has an error of their own, which they may add to.
    const reasons = new Set(
      outcomes.map((each) => (each as PromiseRejectedResult).reason as unknown),
    );
    expect(reasons.size).toBe(outcomes.length);
    expect(ran()).toBe(0);
  });

  test("are rejected by store.close()", async () => {
    const { store, waits, ran } = await line();
    await store.close();
    for (const outcome of await waits) {
      expect((outcome as PromiseRejectedResult).reason).toMatchObject({
        code: "CLOSED",
        message: "the store is closed",
      });
    }
    expect(ran()).toBe(0);
  });

  test("are rejected while the store is asked, and give back what comes too late", async () => {
    const store = new HeldStore();
    const limiter = new RateLimiter({ policy, store });
    const outcomes = Promise.allSettled([limiter.acquire("k"), limiter.reserve("k")]);
    await limiter.close();
    for (const outcome of await outcomes) {
      expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(ClosedError);
    }
    const asked = store.held.length;
    store.settleAll();
    expect(asked).toBe(2);
    await eventually(() => {
      expect(store.held.length).toBe(2);
    });
    store.settleAll();
  });

  test("leave nothing behind that keeps the limiter or a signal", async () => {
    const limiter = new RateLimiter({ policy });
    const { signal } = new AbortController();
    const remove = vi.spyOn(signal, "removeEventListener");
    await limiter.acquire("k", { signal });
    expect(remove).toHaveBeenCalled();
    await limiter.close();
  });
});

describe("an outgoing call", () => {
  test("is rejected when the limiter closes that it waits for, and when the next one comes", async () => {
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }) });
    const sent = vi.fn(async () => new Response("ok"));
    const polite = limitFetch({ fetch: sent, limiter });
    await (await polite("http://a.test/")).text();
    const waiting = polite("http://a.test/");
    const refused = waiting.catch((reason: unknown) => reason);
    await turns();
    await limiter.close();
    expect(await refused).toBeInstanceOf(ClosedError);
    await expect(polite("http://b.test/")).rejects.toThrow("the limiter is closed");
    expect(sent).toHaveBeenCalledTimes(1);
  });
});

test("an outgoing call that waits for a pause ends with its limiter", async () => {
  const limiter = new RateLimiter({ policy });
  const headers = { "retry-after": "3600" };
  const refusal = async () => new Response(null, { status: 429, headers });
  const polite = limitFetch({ fetch: refusal, limiter, retries: false });
  expect((await polite("http://a.test/")).status).toBe(429);
  const waiting = polite("http://a.test/").catch((reason: unknown) => reason);
  await turns();
  await limiter.close();
  expect(await waiting).toBeInstanceOf(ClosedError);
});

/** As if outside the process; its semaphores answer until they hang. */
class HangingStore extends MemoryStore implements Store {
  override readonly external = true as unknown as false;
  hangs = false;
  readonly commands: number[] = [];
  override readonly semaphores: MemoryStore["semaphores"];

  constructor() {
    super();
    const inner = new MemoryStore().semaphores;
    const execute: SemaphoreStore["execute"] = (...args) => {
      this.commands.push(args[1].entries.length);
      return this.hangs ? new Promise(() => {}) : inner.execute(args[0], args[1]);
    };
    this.semaphores = new Proxy(inner, {
      get: (target, name) => {
        if (name === "execute") return execute;
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
  }
}

describe("those who wait in a semaphore's line", () => {
  test("are rejected by store.close(), each with an error of its own", async () => {
    const store = new MemoryStore();
    const semaphore = new Semaphore({ limit: 1, store });
    const permit = await semaphore.acquire("k");
    const outcomes = Promise.allSettled([semaphore.acquire("k"), semaphore.acquire("k")]);
    await turns();
    await store.close();
    const reasons = reasonsOf(await outcomes);
    expect(reasons.every((reason) => reason instanceof ClosedError)).toBe(true);
    expect(new Set(reasons).size).toBe(2);
    await expect(permit.release()).rejects.toThrow("the store is closed");
    await semaphore.close();
  });

  test("of 2,000 all leave a hung server at once, not one deadline after another", async () => {
    const store = new HangingStore();
    const semaphore = new Semaphore({ limit: 1, store, timeout: "1s" });
    onTestFinished(() => store.close());
    const permit = await semaphore.acquire("k");
    const waits = Array.from({ length: 2000 }, () => semaphore.acquire("k"));
    const outcomes = Promise.allSettled(waits);
    await turns();
    store.hangs = true;
    store.commands.length = 0;
    const closing = semaphore.close();
    await turns();
    expect(permit.lost.aborted).toBe(true);
    for (const outcome of await outcomes) {
      expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(ClosedError);
    }
    // All commands are under way together: ten for the line and one for the permit.
    expect(store.commands.filter((entries) => entries === 200)).toHaveLength(10);
    expect(store.commands).toHaveLength(11);
    await closing;
  });
});

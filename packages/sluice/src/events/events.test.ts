import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, test, vi } from "vitest";
import { HeldStore } from "../../test/support/held-store.js";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  type EventMap,
  type EventName,
  fixedWindow,
  MemoryStore,
  RateLimiter,
  tokenBucket,
} from "../index.js";
import { ManualClock } from "../testing/index.js";
import { Events } from "./events.js";

const policy = tokenBucket({ limit: 10, period: "1h" });

/** Everything of some kinds that is emitted from now on. */
function record<K extends EventName>(events: Events, ...names: K[]): [K, EventMap[K]][] {
  const heard: [K, EventMap[K]][] = [];
  for (const name of names) events.on(name, (event) => heard.push([name, event]));
  return heard;
}

describe("events", () => {
  test("reach every listener of their kind until it ends, in order", () => {
    const events = new Events();
    const calls: string[] = [];
    const end = events.on("eviction", ({ id }) => calls.push(`first ${id}`));
    events.on("eviction", ({ id }) => calls.push(`second ${id}`));
    events.to.eviction?.({ keyspace: "s", id: "a" });
    end();
    events.to.eviction?.({ keyspace: "s", id: "b" });
    expect(calls).toEqual(["first a", "second a", "second b"]);
    expect(events.to.batch).toBeUndefined();
  });

  test("are not made where the last listener has ended", () => {
    const events = new Events();
    events.on("eviction", () => {})();
    expect(events.to.eviction).toBeUndefined();
  });

  test("go on where a listener throws, and what it throws is a failure", () => {
    const events = new Events();
    const failures = record(events, "failure");
    const heard = vi.fn<() => void>();
    const boom = new Error("boom");
    events.on("eviction", () => {
      throw boom;
    });
    events.on("eviction", heard);
    events.to.eviction?.({ keyspace: "s", id: "a" });
    expect(heard).toHaveBeenCalledOnce();
    expect(failures).toEqual([["failure", { error: boom, key: "", cost: 0 }]]);
  });
});

describe("listeners", () => {
  test("that are one function are ended one by one, each once", () => {
    const events = new Events();
    const heard = vi.fn<() => void>();
    const end = events.on("eviction", heard);
    events.on("eviction", heard);
    end();
    end();
    events.to.eviction?.({ keyspace: "s", id: "a" });
    expect(heard).toHaveBeenCalledOnce();
  });

  test("hear nothing from when they are ended, also by another listener of the same event", () => {
    const events = new Events();
    const heard = vi.fn<() => void>();
    let end = (): void => {};
    events.on("eviction", () => end());
    end = events.on("eviction", heard);
    events.to.eviction?.({ keyspace: "s", id: "a" });
    expect(heard).not.toHaveBeenCalled();
  });

  test("may be asynchronous: what they reject with is a failure, and never unhandled", async () => {
    const events = new Events();
    const failures = record(events, "failure");
    const boom = new Error("boom");
    events.on("eviction", () => Promise.reject(boom) as never);
    events.on("failure", () => Promise.reject(boom) as never);
    events.to.eviction?.({ keyspace: "s", id: "a" });
    await new Promise((resolve) => setImmediate(resolve));
    expect(failures).toEqual([["failure", { error: boom, key: "", cost: 0 }]]);
  });
});

describe("a listener that is not always wanted", () => {
  test("is called while it is, and the event is not made while nobody wants it", () => {
    const events = new Events();
    const heard: string[] = [];
    let wanted = false;
    const end = events.on(
      "eviction",
      ({ id }) => heard.push(id),
      () => wanted,
    );
    expect(events.to.eviction).toBeUndefined();
    wanted = true;
    events.to.eviction?.({ keyspace: "s", id: "a" });
    wanted = false;
    expect(events.to.eviction).toBeUndefined();
    wanted = true;
    end();
    expect(events.to.eviction).toBeUndefined();
    expect(heard).toEqual(["a"]);
  });

  test("is not called for the sake of another one that is", () => {
    const events = new Events();
    const heard: string[] = [];
    events.on(
      "eviction",
      ({ id }) => heard.push(`unwanted ${id}`),
      () => false,
    );
    const end = events.on("eviction", ({ id }) => heard.push(id));
    events.to.eviction?.({ keyspace: "s", id: "a" });
    expect(heard).toEqual(["a"]);
    end();
    expect(events.to.eviction).toBeUndefined();
  });
});

describe("a limiter's events", () => {
  test("name the policies that decided, also those of one call or of a function", async () => {
    const plans = { free: tokenBucket({ limit: 1, period: "1h" }), paid: policy };
    const fixed = new RateLimiter({ policy });
    const byKey = new RateLimiter({ policy: (key) => plans[key as keyof typeof plans] });
    const heard = [fixed, byKey].map((limiter) => record(limiter.events, "decision"));
    fixed.consumeSync("k");
    await fixed.consume("k", { policy: plans.free });
    await fixed.peek("k");
    byKey.consumeSync("free");
    await byKey.consume("paid");
    const policies = heard.map((events) => events.map(([, event]) => event.policies));
    expect(policies).toEqual([
      [[policy], [plans.free], [policy]],
      [[plans.free], [plans.paid]],
    ]);
  });

  test("tell of a reserve how long it would wait, and when its work may start", async () => {
    const clock = new ManualClock(1_000_000);
    const bucket = tokenBucket({ limit: 1, period: "1s" });
    const limiter = new RateLimiter({ policy: bucket, store: new MemoryStore({ clock }) });
    const heard = record(limiter.events, "decision");
    await limiter.reserve("k");
    await limiter.reserve("k", { maxWait: "5s" });
    await limiter.consume("k");
    expect(heard.map(([, { maxWaitUs, readyAtUs }]) => [maxWaitUs, readyAtUs])).toEqual([
      [36_525 * 86_400e6, 1e9],
      [5e6, 1e9 + 1e6],
      [undefined, undefined],
    ]);
  });

  test("show every change of a key by a verb without a decision, with the store's time", async () => {
    const clock = new ManualClock(1000);
    const bucket = tokenBucket({ limit: 1, period: "1s" });
    const limiter = new RateLimiter({ policy: bucket, store: new MemoryStore({ clock }) });
    const heard = record(limiter.events, "adjusted");
    await limiter.reserve("k");
    const late = await limiter.reserve("k");
    if (late.allowed) await late.cancel();
    await limiter.block("k", "1m");
    await limiter.unblock("k", { slot: "s" });
    await limiter.reset("k");
    await limiter.refund("k", 1);
    const known = { limiter: "sluice", key: "k", units: 0, atUs: 1e6, policies: [bucket] };
    expect(heard.map(([, event]) => event)).toEqual([
      { ...known, verb: "cancel", units: 1 },
      { ...known, verb: "block" },
      { ...known, verb: "unblock", slot: "s" },
      { ...known, verb: "reset" },
    ]);
  });

  test("show changes that may have been done, since the store did not answer", async () => {
    const store = new HeldStore();
    const limiter = new RateLimiter({ policy, store, timeout: "30s", onStoreFailure: "throw" });
    const heard = record(limiter.events, "adjusted");
    const calls = [limiter.reset("k"), limiter.refund("k", 1), limiter.consume("k")];
    store.settleAll(new Error("connection lost"));
    await Promise.allSettled(calls);
    expect(heard.map(([, { verb, atUs }]) => [verb, atUs])).toEqual([
      ["reset", undefined],
      ["refund", undefined],
    ]);
  });

  test("show every decision with its verb, and how long it took", async () => {
    const limiter = new RateLimiter({ policy, namespace: "api" });
    const heard = record(limiter.events, "decision");
    const spent = await limiter.consume("k", { cost: 2 });
    await limiter.peek("k");
    await limiter.refund("k", 1);
    expect(heard.map(([, { limiter: name, verb, key, cost }]) => [name, verb, key, cost])).toEqual([
      ["api", "consume", "k", 2],
      ["api", "peek", "k", 1],
      ["api", "refund", "k", 1],
    ]);
    expect(heard[0]?.[1].decision).toEqual(spent);
    expect(heard.every(([, { durationMs }]) => durationMs >= 0)).toBe(true);
  });

  test("show every call of a store outside the process, and its error", async () => {
    const store = new HeldStore();
    const limiter = new RateLimiter({ policy, store, timeout: "30s" });
    const heard = record(limiter.events, "storeCall");
    const good = limiter.consume("k");
    store.settleAll();
    await good;
    const bad = limiter.consume("k");
    store.settleAll(new Error("connection lost"));
    await bad;
    expect(heard.map(([, { caller, part, error }]) => [caller, part, error?.message])).toEqual([
      ["sluice", "", undefined],
      ["sluice", "", "the store failed: connection lost"],
    ]);
  });

  test("show waits from beginning to end", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }), store });
    const heard = record(limiter.events, "waitBegun", "waitEnded");
    await limiter.acquire("k");
    const second = limiter.acquire("k");
    await vi.waitFor(() => {
      clock.advance(1000);
      expect(heard.length).toBe(4);
    });
    await second;
    await limiter.consume("k");
    await expect(limiter.acquire("k", { maxWait: 0 })).rejects.toThrow("no quota");
    const waits = heard.map(([, { wait }]) => wait);
    expect(waits[0]).toBe(waits[1]);
    expect(new Set(waits).size).toBe(3);
    expect(heard.map(([name, event]) => [name, "outcome" in event && event.outcome])).toEqual([
      ["waitBegun", false],
      ["waitEnded", "started"],
      ["waitBegun", false],
      ["waitEnded", "started"],
      ["waitBegun", false],
      ["waitEnded", "refused"],
    ]);
  });

  test("show units that are taken ahead and given back", async () => {
    const limiter = new RateLimiter({
      policy,
      store: new OutsideStore(),
      prefetch: { size: 4, ttl: "1h" },
    });
    const heard = record(limiter.events, "prefetch");
    await limiter.consume("k");
    await limiter.close();
    expect(heard.map(([, { change, key, units }]) => [change, key, units])).toEqual([
      ["taken", "k", 4],
      ["returned", "k", 3],
    ]);
  });

  test("show policies of a function when they are new or have new options", () => {
    let limit = 1;
    const limiter = new RateLimiter({
      policy: (key) => fixedWindow({ name: key, limit, window: "1h" }),
    });
    const heard = record(limiter.events, "policies");
    for (const key of ["a", "b", "a"]) limiter.consumeSync(key);
    limit = 2;
    limiter.consumeSync("a");
    expect(heard.map(([, { policies }]) => policies)).toEqual([["a"], ["b"], ["a"]]);
  });
});

test("a full store in memory shows what it forgets", () => {
  const store = new MemoryStore({ clock: new ManualClock(), maxKeys: 1 });
  const limiter = new RateLimiter({ policy, store });
  const heard = record(store.events, "eviction");
  limiter.consumeSync("first");
  limiter.consumeSync("second");
  expect(heard).toEqual([["eviction", { keyspace: "sluice:token-bucket", id: "first" }]]);
  expect(store.evictions).toBe(1);
});

describe("hooks", () => {
  test.each(["decision", "failure", "fallback"] as const)(
    "run in the caller's context also where there are only those of %s",
    async (only) => {
      const store = new HeldStore();
      const context = new AsyncLocalStorage<string>();
      const seen: (string | undefined)[] = [];
      const hook = (): unknown => seen.push(context.getStore());
      const limiter = new RateLimiter({
        policy,
        store,
        timeout: "30s",
        ...(only === "fallback" && {
          onStoreFailure: { fallback: new RateLimiter({ policy, hooks: { onAllowed: hook } }) },
        }),
      });
      if (only !== "fallback") limiter.events.on(only, hook);
      const calls = ["alice", "bob"].map((name) => context.run(name, () => limiter.consume("k")));
      context.run("whoever answers", () => {
        store.settleAll(new Error("connection lost"));
      });
      await Promise.all(calls);
      expect(seen).toEqual(only === "failure" ? ["alice"] : ["alice", "bob"]);
    },
  );

  test("run in the context of the caller whose decision it is, whoever sent the batch", async () => {
    const store = new HeldStore();
    const context = new AsyncLocalStorage<string>();
    const seen: [string, string | undefined][] = [];
    const hooks = {
      onAllowed: ({ key }: { key: string }) => seen.push([key, context.getStore()]),
      onError: ({ key }: { key: string }) => seen.push([`${key}!`, context.getStore()]),
    };
    const limiter = new RateLimiter({ policy, store, identity: "plain", timeout: "30s", hooks });
    const spend = (name: string) => context.run(name, () => limiter.consume(name));
    const both = [spend("alice"), spend("bob")];
    context.run("whoever answers", () => {
      store.settleAll();
    });
    await Promise.all(both);
    const lost = [spend("carol")];
    context.run("whoever answers", () => {
      store.settleAll(new Error("connection lost"));
    });
    await Promise.all(lost);
    expect(seen).toEqual([
      ["alice", "alice"],
      ["bob", "bob"],
      ["carol!", "carol"],
      ["carol", "carol"],
    ]);
  });
});

import { subscribe, tracingChannel, unsubscribe } from "node:diagnostics_channel";
import { onTestFinished, describe, expect, test, vi } from "vitest";
import { HeldStore } from "../../test/support/held-store.js";
import { settle } from "../../test/support/watch.js";
import { Events } from "../events/events.js";
import {
  fixedWindow,
  InvalidOptionError,
  MemoryStore,
  RateLimiter,
  Semaphore,
  StoreUnavailableError,
  tokenBucket,
} from "../index.js";
import { keyId } from "../audit/index.js";
import { PolicySet } from "../policies/index.js";
import { RedisStore } from "../stores/redis/index.js";
import { ManualClock } from "../testing/index.js";
import {
  type AcquireContext,
  type ChannelMessages,
  CHANNELS,
  publish,
  type Publisher,
  type PublishOptions,
} from "./index.js";

const policy = tokenBucket({ limit: 1, period: "1s" });

/** All that comes on a channel until the test ends. */
function hear<C extends keyof ChannelMessages>(channel: C): ChannelMessages[C][] {
  const heard: ChannelMessages[C][] = [];
  const listener = (message: unknown): void => void heard.push(message as ChannelMessages[C]);
  subscribe(channel, listener);
  onTestFinished(() => void unsubscribe(channel, listener));
  return heard;
}

/** The kinds of a tracing channel with their contexts: the object itself, and as it was at that time. */
function trace(channel: string): { kind: string; context: object; asOf: object }[] {
  const heard: { kind: string; context: object; asOf: object }[] = [];
  const on = (kind: string) => (context: object) => {
    heard.push({ kind, context, asOf: { ...context } });
  };
  const subscribers = {
    start: on("start"),
    end: on("end"),
    asyncStart: on("asyncStart"),
    asyncEnd: on("asyncEnd"),
    error: on("error"),
  };
  const traced = tracingChannel(channel);
  traced.subscribe(subscribers);
  onTestFinished(() => {
    traced.unsubscribe(subscribers);
  });
  return heard;
}

function published(publishers: readonly Publisher[], options?: PublishOptions): () => void {
  const end = publish(publishers, options);
  onTestFinished(end);
  return end;
}

function limiterAt(clock: ManualClock, namespace = "api"): RateLimiter<MemoryStore> {
  return new RateLimiter({ policy, namespace, store: new MemoryStore({ clock }) });
}

describe("sluice:decision", () => {
  test("publishes every decision, without its key", async () => {
    const limiter = limiterAt(new ManualClock());
    published([limiter]);
    const heard = hear(CHANNELS.decision);
    const allowed = await limiter.consume("user:42");
    const denied = limiter.consumeSync("user:42", { slot: "org:7" });
    await limiter.peek("user:42");
    const known = { limiter: "api", policy: "token-bucket", cost: 1, durationMs: 0 };
    expect(heard.slice(0, 2)).toEqual([
      { ...known, verb: "consume", decision: allowed },
      { ...known, verb: "consume", decision: denied },
    ]);
    expect(heard.map(({ verb }) => verb)).toEqual(["consume", "consume", "peek"]);
    expect(JSON.stringify(heard)).not.toContain("user");
  });

  test.each([
    [{ exposeKeys: true }, { key: "user:42", slot: "org:7" }],
    [{ exposeIds: true }, { id: `{${keyId("org:7")}}${keyId("user:42")}` }],
    [
      { exposeKeys: true, exposeIds: true },
      { key: "user:42", slot: "org:7", id: `{${keyId("org:7")}}${keyId("user:42")}` },
    ],
  ])("with %o shows of the key %o", async (options, shown) => {
    const limiter = limiterAt(new ManualClock());
    published([limiter], options);
    const heard = hear(CHANNELS.decision);
    const waits = trace(CHANNELS.acquire);
    await limiter.consume("user:42", { slot: "org:7" });
    await limiter.acquire("user:42", { slot: "org:8" });
    const { key, slot, id } = heard[0] ?? {};
    expect(JSON.parse(JSON.stringify({ key, slot, id }))).toEqual(shown);
    expect(waits[0]?.context).toMatchObject("key" in shown ? { slot: "org:8" } : {});
  });

  test("shows the ids of the limiter's secret, and of plain keys a hash", async () => {
    const secret = { hmacSecret: "a secret of some length" };
    const ids: (string | undefined)[] = [];
    const heard = hear(CHANNELS.decision);
    for (const identity of [secret, "plain", "sha256"] as const) {
      const limiter = new RateLimiter({ policy, identity });
      published([limiter], { exposeIds: true });
      limiter.consumeSync("k");
      ids.push(heard.at(-1)?.id);
    }
    expect(ids[0]).toMatch(/^[\w-]{22}$/);
    expect(ids.slice(1)).toEqual([keyId("k"), keyId("k")]);
    expect(ids[0]).not.toBe(ids[1]);
  });

  test("begins with the first subscriber, whenever it comes, and makes no event before", () => {
    const limiter = limiterAt(new ManualClock());
    published([limiter]);
    limiter.consumeSync("k");
    expect(limiter.events.to.decision).toBeUndefined();
    const heard: unknown[] = [];
    const listener = (message: unknown): void => void heard.push(message);
    subscribe(CHANNELS.decision, listener);
    limiter.consumeSync("k");
    expect(limiter.events.to.decision).toBeDefined();
    unsubscribe(CHANNELS.decision, listener);
    limiter.consumeSync("k");
    expect(limiter.events.to.decision).toBeUndefined();
    expect(heard).toHaveLength(1);
  });
});

describe("publish", () => {
  test("publishes a source once, until all calls that name it are ended, each once", () => {
    const limiter = limiterAt(new ManualClock());
    const heard = hear(CHANNELS.decision);
    const first = published([limiter, limiter]);
    const second = published([limiter]);
    limiter.consumeSync("k");
    expect(heard).toHaveLength(1);
    first();
    first();
    limiter.consumeSync("k");
    expect(heard).toHaveLength(2);
    second();
    limiter.consumeSync("k");
    expect(heard).toHaveLength(2);
    published([limiter]);
    limiter.consumeSync("k");
    expect(heard).toHaveLength(3);
  });

  test("shows keys while any of the calls that are not ended said so", () => {
    const limiter = limiterAt(new ManualClock());
    const heard = hear(CHANNELS.decision);
    published([limiter]);
    const end = published([limiter], { exposeKeys: true });
    limiter.consumeSync("k");
    end();
    limiter.consumeSync("k");
    expect(heard.map(({ key }) => key)).toEqual(["k", undefined]);
  });

  test.each([
    ["publishers", {}],
    ["publishers[0]", ["limiter"]],
    ["publishers[0]", [{ submit: () => {} }]],
    ["publishers[1]", [new MemoryStore(), { events: new Events() }]],
  ])("refuses %s", (option, publishers) => {
    expect(() => publish(publishers as never)).toThrow(InvalidOptionError);
    expect(() => publish(publishers as never)).toThrow(`${option}: `);
  });
});

test("sluice:policies publishes the names of policies that are new", () => {
  const limiter = new RateLimiter({
    policy: (name) => fixedWindow({ name, limit: 1, window: "1h" }),
    namespace: "plans",
  });
  published([limiter]);
  const heard = hear(CHANNELS.policies);
  for (const plan of ["free", "paid", "free"]) limiter.consumeSync(plan);
  expect(heard).toEqual([
    { limiter: "plans", policies: ["free"] },
    { limiter: "plans", policies: ["paid"] },
  ]);
});

describe("sluice:acquire", () => {
  test("traces a wait with one context from its start to its end", async () => {
    const clock = new ManualClock();
    const limiter = limiterAt(clock);
    published([limiter]);
    const heard = trace(CHANNELS.acquire);
    await limiter.acquire("k");
    const second = limiter.acquire("k");
    await vi.waitFor(() => {
      clock.advance(1000);
      expect(heard).toHaveLength(4);
    });
    await second;
    expect(heard.map(({ kind }) => kind)).toEqual(["start", "asyncEnd", "start", "asyncEnd"]);
    expect(heard[2]?.asOf).toEqual({ caller: "api", cost: 1 });
    expect(heard[3]?.context).toBe(heard[2]?.context);
    expect(heard[3]?.context).toMatchObject({
      outcome: "started",
      waitedMs: expect.any(Number) as unknown,
    });
    expect(heard[1]?.context).not.toBe(heard[2]?.context);
  });

  test("publishes an error where the wait failed, and none where it was refused", async () => {
    const semaphore = new Semaphore({ limit: 1, name: "jobs" });
    published([semaphore]);
    const heard = trace(CHANNELS.acquire);
    const permit = await semaphore.acquire("k");
    await expect(semaphore.acquire("k", { maxWait: 1 })).rejects.toThrow("within 1 ms");
    const controller = new AbortController();
    const aborted = semaphore.acquire("k", { signal: controller.signal });
    controller.abort(new Error("gone"));
    await expect(aborted).rejects.toThrow("gone");
    await permit.release();
    await semaphore.close();
    const outcomes = heard.map(({ kind, asOf }) => [kind, (asOf as AcquireContext).outcome]);
    expect(outcomes).toEqual([
      ["start", undefined],
      ["asyncEnd", "started"],
      ["start", undefined],
      ["asyncEnd", "refused"],
      ["start", undefined],
      ["error", "failed"],
      ["asyncEnd", "failed"],
    ]);
    expect(heard.at(-1)?.context).toMatchObject({
      caller: "sluice:jobs~semaphore",
      error: controller.signal.reason as Error,
    });
    expect(heard[3]?.context).not.toHaveProperty("error");
  });

  test("does not trace what began before anybody subscribed, and forgets what nobody hears end", async () => {
    const clock = new ManualClock();
    const limiter = limiterAt(clock);
    published([limiter]);
    await limiter.acquire("k");
    const before = limiter.acquire("k");
    await settle();
    const start = (): void => {};
    const started = `tracing:${CHANNELS.acquire}:start`;
    subscribe(started, start);
    const during = limiter.acquire("k");
    await settle();
    unsubscribe(started, start);
    expect(limiter.events.to.waitEnded).toBeDefined();
    clock.advance(10_000);
    await Promise.all([before, during]);
    expect(limiter.events.to.waitEnded).toBeUndefined();
  });
});

describe("stores", () => {
  const lost = new Error("connection lost");

  test("publish their outages and recoveries, also where only a limiter was named", async () => {
    const store = new RedisStore({ client: () => Promise.reject(lost) });
    const limiter = new RateLimiter({ policy, store, timeout: "30s" });
    published([limiter], { store: "sessions" });
    const outages = hear(CHANNELS.storeOutage);
    const recoveries = hear(CHANNELS.storeRecovery);
    await limiter.consume("k");
    await limiter.consume("k");
    expect(outages).toEqual([
      { store: "sessions", part: "", error: expect.objectContaining({ cause: lost }) as unknown },
    ]);
    store.events.to.recovery?.({
      error: lost,
      outageMs: 5,
      unanswered: {
        total: 2,
        local: 2,
        failOpen: 0,
        failClosed: 0,
        fallback: 0,
        thrown: 0,
        busy: 0,
      },
      first: { error: lost, key: "", cost: 0 },
    });
    expect(recoveries).toMatchObject([
      { store: "sessions", part: "", error: lost, outageMs: 5, unanswered: { total: 2 } },
    ]);
    expect(recoveries[0]).not.toHaveProperty("first");
    await store.close();
  });

  test("do not publish as an outage what a listener throws", () => {
    const store = new MemoryStore({ maxKeys: 1 });
    published([store]);
    const outages = hear(CHANNELS.storeOutage);
    store.events.on("eviction", () => {
      throw lost;
    });
    store.events.to.eviction?.({ keyspace: "s", id: "a" });
    expect(outages).toEqual([]);
    store.events.to.failure?.({ error: new StoreUnavailableError("gone"), key: "", cost: 0 });
    expect(outages).toHaveLength(1);
  });

  test("trace what they send, with the error where there is no answer", async () => {
    const store = new RedisStore({ client: () => Promise.reject(lost) });
    const limiter = new RateLimiter({ policy, store, timeout: "30s" });
    published([store]);
    const heard = trace(CHANNELS.storeCall);
    await Promise.all([limiter.consume("a"), limiter.consume("b")]);
    expect(heard.map(({ kind }) => kind)).toEqual(["start", "error", "asyncEnd"]);
    const known = { store: "store", part: "", verb: "consume", calls: 2, keys: 2 };
    expect(heard[0]?.asOf).toEqual(known);
    expect(heard[2]?.context).toBe(heard[0]?.context);
    expect(heard[2]?.asOf).toEqual({
      ...known,
      error: lost,
      durationMs: expect.any(Number) as unknown,
    });
    await store.close();
  });

  test("of one's own without events are no publishers, but limiters on them are", () => {
    const store = new HeldStore();
    const limiter = new RateLimiter({ policy, store });
    expect(() => published([limiter])).not.toThrow();
    expect(() => publish([store])).toThrow("a store with events");
  });
});

describe("sets of rules and overrides", () => {
  const bucket = { algorithm: "token-bucket", limit: 1, period: "1h" } as const;
  const source = { version: 1, rules: [{ name: "api", key: ["user"], policy: bucket }] };
  const next = {
    ...source,
    version: 2,
    overrides: [{ rule: "api", key: "user=evil", mode: "deny" as const, comment: "evil" }],
  };

  test("tell of their document and their decisions, and show no key", async () => {
    const rules = new PolicySet({ source });
    onTestFinished(() => rules.close());
    const [changes, made] = [hear(CHANNELS.rules), hear(CHANNELS.decision)];
    const reloads = hear(CHANNELS.rulesReload);
    const end = published([rules], { exposeIds: true });
    rules.replace(next, { by: "ana", comment: "why" });
    expect(changes).toMatchObject([
      { set: "sluice", before: 1, after: 2, by: "ana", comment: "why", changes: [{ name: "api" }] },
    ]);
    await rules.consume({ entries: { user: "mallory" } });
    expect(made).toMatchObject([{ limiter: "sluice", policy: "api", id: keyId("user=mallory") }]);
    expect(JSON.stringify([changes, made])).not.toMatch(/evil|mallory/);
    rules.events.to.reload?.({
      set: "sluice",
      outcome: "lost",
      version: 2,
      error: new Error("lost"),
    });
    expect(reloads).toMatchObject([{ outcome: "lost" }]);
    end();
    rules.replace(source);
    expect(changes).toHaveLength(1);
    published([rules], { exposeKeys: true });
    rules.replace(next);
    expect(changes[1]).toMatchObject({ changes: [{ name: "api user=evil" }] });
  });

  test.each(["sha256", "plain"] as const)(
    "of single keys with ids %s show a hash, if any",
    async (identity) => {
      const limiter = new RateLimiter({ policy, identity });
      onTestFinished(() => limiter.close());
      const heard = hear(CHANNELS.override);
      const end = published([limiter]);
      await limiter.override("mallory", "deny", { by: "ana" });
      end();
      published([limiter], { exposeIds: true });
      await limiter.override("mallory", undefined);
      expect(heard).toMatchObject([{ change: "set", by: "ana" }, { change: "removed" }]);
      expect(heard.map(({ id }) => id)).toEqual([undefined, keyId("mallory")]);
      expect(JSON.stringify(heard)).not.toContain("mallory");
    },
  );
});

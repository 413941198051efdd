/** A limiter whose store is away decides by the same policies, in this process. */
import { describe, expect, test } from "vitest";
import { drain, policy, setUp } from "../../../test/support/outside-limiter.js";
import { OutsideStore } from "../../../test/support/outside-store.js";
import { fixedWindow, type MemoryStore, RateLimiter, tokenBucket } from "../../index.js";
import { VERBS } from "../../algorithms/decide.js";
import { ruleOf } from "../../algorithms/rule.js";
import { LocalStore } from "./local-store.js";

/** No breaker: each call finds out whether the store answers. */
const local = { onStoreFailure: "local", breaker: false } as const;
const hour = tokenBucket({ limit: 10, period: "10h" });

describe("while the store is away", () => {
  test("each verb decides by the same policies, and says so", async () => {
    const { limiter, store } = setUp(local);
    await limiter.peek("other");
    store.behaviour = "fails";
    const told = { source: "local", policy: "token-bucket", limit: 10 };
    expect(await limiter.consume("k", { cost: 3 })).toMatchObject({ ...told, remaining: 7 });
    expect(await limiter.consumeUpTo("k", { cost: 9 })).toMatchObject({ ...told, granted: 7 });
    expect(await limiter.consume("k")).toMatchObject({
      ...told,
      allowed: false,
      reason: "quota",
      retryAfterMs: 1000,
    });
    expect(await limiter.peek("k")).toMatchObject({ ...told, allowed: false });
    expect(await limiter.refund("k", 4)).toMatchObject({ ...told, remaining: 4 });
    expect(await limiter.penalize("k", 2)).toMatchObject({ ...told, remaining: 2 });
    const many = await limiter.consumeMany([{ key: "k" }, { key: "k", cost: 2 }, { key: "l" }]);
    expect(many.map(({ remaining, allowed }) => [remaining, allowed])).toEqual([
      [1, true],
      [1, false],
      [9, true],
    ]);
    for (const decision of many) expect(decision).toMatchObject(told);
  });

  test("is the default", async () => {
    const store = new OutsideStore();
    store.behaviour = "fails";
    const limiter = new RateLimiter({ policy, store });
    expect((await drain(limiter)).allowed).toBe(false);
  });

  test("a call's own policy, its block and several policies are in force", async () => {
    const { limiter, store } = setUp({ ...local, blockFor: "1m" });
    store.behaviour = "fails";
    const three = tokenBucket({ limit: 3, period: "10s" });
    expect(await limiter.consume("k", { policy: three })).toMatchObject({ limit: 3, remaining: 2 });
    expect((await drain(limiter, "l")).retryAfterMs).toBe(60_000);
    const several = new RateLimiter({
      policy: [
        tokenBucket({ name: "slow", limit: 10, period: "10h" }),
        fixedWindow({ name: "window", limit: 2, window: "1h" }),
      ],
      namespace: "several",
      store,
    });
    expect((await several.consume("k", { cost: 2 })).policies).toMatchObject([
      { remaining: 8 },
      { remaining: 0 },
    ]);
    expect(await several.consume("k")).toMatchObject({ allowed: false, policy: "window" });
  });

  test("a shadow decides and reports, and lets everything pass", async () => {
    const denied: string[] = [];
    const hooks = {
      onDenied: (event: { decision: { source: string } }) => denied.push(event.decision.source),
    };
    const { limiter, store } = setUp({ ...local, enforce: false, hooks });
    store.behaviour = "fails";
    expect(await drain(limiter)).toMatchObject({ allowed: true, reason: "quota", source: "local" });
    expect(denied).toEqual(["local"]);
  });

  test("limiters of one store share what was counted, and other stores do not", async () => {
    const { limiter, store } = setUp(local);
    const other = new RateLimiter({ policy, store, onStoreFailure: "local" });
    store.behaviour = "fails";
    await limiter.consume("k", { cost: 4 });
    expect((await other.consume("k")).remaining).toBe(5);
    const elsewhere = setUp(local);
    elsewhere.store.behaviour = "fails";
    expect((await elsewhere.limiter.consume("k")).remaining).toBe(9);
  });

  test("the ids are the store's own", async () => {
    const { limiter, store } = setUp({ ...local, identity: "sha256" });
    const plain = new RateLimiter({ policy, store, identity: "plain" });
    store.behaviour = "fails";
    await limiter.consume("k");
    const [call] = store.calls;
    expect((await plain.consume(call?.debits[0]?.id as string)).remaining).toBe(8);
  });
});

describe("from outage to outage", () => {
  test("what this process admitted stays counted", async () => {
    const { limiter, store, pass } = setUp({ ...local, policy: hour });
    await limiter.peek("k");
    let admitted = 0;
    for (let outage = 0; outage < 20; outage++) {
      store.behaviour = "fails";
      for (let i = 0; i < 5; i++) {
        admitted += (await limiter.consume(`${outage % 2}`)).allowed ? 1 : 0;
      }
      store.behaviour = "answers";
      await limiter.peek("k");
      pass(300);
    }
    expect(admitted).toBe(20);
  });

  test("it drains by the server's time", async () => {
    const { limiter, store, clock, pass } = setUp(local);
    await limiter.consume("other");
    store.behaviour = "fails";
    const denial = await drain(limiter);
    expect(denial).toMatchObject({ decidedAtUs: clock.nowUs(), retryAfterMs: 1000 });
    pass(2500);
    expect(await limiter.consume("k")).toMatchObject({ remaining: 1, decidedAtUs: clock.nowUs() });
  });

  test("a server whose clock was set is followed", async () => {
    const { limiter, store, clock } = setUp(local);
    await limiter.consume("other");
    store.behaviour = "fails";
    await drain(limiter);
    store.behaviour = "answers";
    // Only the server's: the monotonic clock of this process goes on from there.
    clock.advance(3000);
    await limiter.peek("other");
    store.behaviour = "fails";
    expect((await limiter.peek("k")).remaining).toBe(3);
  });

  test("no more keys are held than the bound", () => {
    const memory = new LocalStore({});
    const { name } = hour;
    const debit = { name, rule: ruleOf(hour), keyspace: { name }, cost: 1000 };
    for (let i = 0; i < 100_500; i++) {
      const debits = [{ ...debit, id: `${i}` }];
      memory.decide({ verb: VERBS.consume, debits, blockUs: 0, maxWaitUs: 0 });
    }
    expect(memory.size).toBe(100_000);
  });
});

describe("what the store denied", () => {
  test("is denied to its own end while it is away", async () => {
    const { limiter, store, pass } = setUp({ ...local, policy: hour });
    expect((await drain(limiter)).source).toBe("store");
    store.behaviour = "fails";
    pass(3_599_000);
    const late = await limiter.consume("k");
    expect(late).toMatchObject({ allowed: false, source: "deny-cache", retryAfterMs: 1000 });
    expect(await limiter.peek("k")).toMatchObject({ allowed: false, source: "deny-cache" });
    expect(await limiter.consumeUpTo("k", { cost: 3 })).toMatchObject({
      allowed: false,
      granted: 0,
    });
    expect(await limiter.reserve("k")).toMatchObject({ allowed: false, retryAfterMs: 1000 });
    pass(1001);
    expect(await limiter.consume("k")).toMatchObject({ allowed: true, source: "local" });
  });

  test("is denied for its cost: less is decided locally, and a partial grant stays below", async () => {
    const { limiter, store } = setUp({ ...local, policy: hour });
    await drain(limiter, "k", 10);
    store.behaviour = "fails";
    expect((await limiter.consume("k", { cost: 10 })).source).toBe("deny-cache");
    expect(await limiter.consumeUpTo("k", { cost: 10 })).toMatchObject({
      granted: 9,
      source: "local",
    });
  });

  test("of several costs, each holds to its own end", async () => {
    const { limiter, store, pass } = setUp({
      ...local,
      policy: tokenBucket({ limit: 10, period: "10s" }),
    });
    await limiter.consume("k", { cost: 10 });
    expect((await limiter.consume("k", { cost: 5 })).retryAfterMs).toBe(5000);
    expect((await limiter.consume("k")).retryAfterMs).toBe(1000);
    store.behaviour = "fails";
    pass(900);
    expect((await limiter.consume("k")).source).toBe("deny-cache");
    pass(200);
    expect((await limiter.consume("k")).source).toBe("local");
    expect((await limiter.consume("k", { cost: 5 })).source).toBe("deny-cache");
    pass(4000);
    expect((await limiter.consume("k", { cost: 5 })).source).toBe("local");
  });

  test("of one cost is not replaced by that of a higher one", async () => {
    const { limiter, store, pass } = setUp({ ...local, policy: hour });
    await drain(limiter);
    pass(1100);
    expect(await limiter.consume("k", { cost: 5 })).toMatchObject({ source: "store" });
    store.behaviour = "fails";
    expect((await limiter.consume("k")).source).toBe("deny-cache");
  });

  test("includes blocks, whatever the cost", async () => {
    const { limiter, store, pass } = setUp({ ...local, policy: hour });
    await limiter.block("k", "1h");
    // If another process blocked, only the store's denial says so here.
    const { limiter: other, store: same } = setUp({ ...local, policy: hour });
    await other.consume("m");
    const [consumed] = same.calls;
    const block = {
      verb: VERBS.block,
      blockUs: 3600e6,
      maxWaitUs: 0,
      debits: consumed?.debits ?? [],
    };
    same.pure.submit(block, () => {});
    expect((await other.consume("m", { cost: 5 })).reason).toBe("blocked");
    for (const each of [store, same]) each.behaviour = "fails";
    pass(3_590_000);
    expect(await limiter.consume("k")).toMatchObject({ allowed: false, reason: "blocked" });
    expect(await other.consume("m")).toMatchObject({ allowed: false, reason: "blocked" });
  });

  test("ends when the store gives back, and not by what is lost or taken", async () => {
    const { limiter, store } = setUp({ ...local, policy: hour });
    await drain(limiter);
    store.behaviour = "fails";
    await limiter.refund("k", 1);
    await limiter.penalize("k", 1);
    await limiter.consume("k", { policy: tokenBucket({ limit: 2, period: "1h" }) });
    expect((await limiter.consume("k")).source).toBe("deny-cache");
    store.behaviour = "answers";
    await limiter.refund("k", 1);
    store.behaviour = "fails";
    expect((await limiter.consume("k")).source).toBe("local");
  });

  test("is asked again by the store as soon as it is there", async () => {
    const { limiter, store, pass } = setUp({ ...local, policy: hour });
    await drain(limiter);
    store.behaviour = "fails";
    pass(2000);
    expect((await limiter.consume("k")).source).toBe("deny-cache");
    store.behaviour = "answers";
    expect((await limiter.consume("k")).source).toBe("store");
  });

  test("is never what was denied locally", async () => {
    const { limiter, store, asked } = setUp({ ...local, policy: hour });
    store.behaviour = "fails";
    expect((await drain(limiter)).source).toBe("local");
    store.behaviour = "answers";
    const before = asked();
    expect(await limiter.consume("k")).toMatchObject({ allowed: true, source: "store" });
    expect(asked()).toBe(before + 1);
  });
});

describe("verbs that change a key", () => {
  test("change what is here, clear what is remembered, and reject", async () => {
    const { limiter, store } = setUp({ ...local, policy: hour });
    await drain(limiter);
    store.behaviour = "fails";
    await expect(limiter.reset("k")).rejects.toThrow("connection lost");
    expect(await limiter.consume("k")).toMatchObject({ source: "local", remaining: 9 });
    await expect(limiter.block("k", "1m")).rejects.toThrow("connection lost");
    expect(await limiter.consume("k")).toMatchObject({ source: "local", reason: "blocked" });
    await expect(limiter.unblock("k")).rejects.toThrow("connection lost");
    expect(await limiter.consume("k")).toMatchObject({ source: "local", remaining: 8 });
  });

  test("of this process hold when the store goes away after them", async () => {
    const { limiter, store } = setUp(local);
    await limiter.block("k", "1m");
    store.behaviour = "fails";
    expect((await limiter.consume("k")).reason).toBe("blocked");
    store.behaviour = "answers";
    await limiter.unblock("k");
    store.behaviour = "fails";
    expect((await limiter.consume("k")).allowed).toBe(true);
  });
});

describe("units go back where they were taken", () => {
  test("by this process: only here, even while the store is well", async () => {
    const { limiter, store, asked } = setUp({ ...local, policy: hour });
    await limiter.consume("k", { cost: 10 });
    store.behaviour = "fails";
    const of = await limiter.consume("k", { cost: 4 });
    store.behaviour = "answers";
    const before = asked();
    expect(await limiter.refund("k", 4, { of })).toMatchObject({ source: "local", remaining: 10 });
    expect(asked()).toBe(before);
    expect((await limiter.peek("k")).remaining).toBe(0);
  });

  test("by the store: only there, and lost while it is away", async () => {
    const errors: unknown[] = [];
    const hooks = { onError: ({ error }: { error: unknown }) => errors.push(error) };
    const { limiter, store } = setUp({ ...local, policy: hour, hooks });
    const of = await limiter.consume("k", { cost: 4 });
    store.behaviour = "fails";
    await limiter.consume("k", { cost: 5 });
    expect(errors).toHaveLength(1);
    expect(await limiter.refund("k", 4, { of })).toMatchObject({
      source: "local",
      remaining: 5,
      refunded: 0,
    });
    store.behaviour = "answers";
    expect(await limiter.refund("k", 4, { of })).toMatchObject({ source: "store", remaining: 10 });
  });

  test("by nobody: nothing comes back", async () => {
    const { limiter, store } = setUp({ onStoreFailure: "open", breaker: false, policy: hour });
    await limiter.consume("k", { cost: 4 });
    store.behaviour = "fails";
    const of = await limiter.consume("k", { cost: 4 });
    store.behaviour = "answers";
    expect(await limiter.refund("k", 4, { of })).toMatchObject({ remaining: 6, refunded: 0 });
  });

  test("by the fallback: there", async () => {
    const fallback = new RateLimiter<MemoryStore>({ policy: hour });
    const { limiter, store } = setUp({
      onStoreFailure: { fallback },
      breaker: false,
      policy: hour,
    });
    store.behaviour = "fails";
    const of = await limiter.consume("k", { cost: 4 });
    store.behaviour = "answers";
    expect(await limiter.refund("k", 4, { of })).toMatchObject({ source: "fallback" });
    expect(fallback.consumeSync("k").remaining).toBe(9);
  });

  test.each([{}, { source: "elsewhere" }, 5, null])("and %j is no decision", async (of) => {
    const { limiter } = setUp(local);
    await expect(limiter.refund("k", 1, { of: of as never })).rejects.toMatchObject({
      option: "of",
    });
  });

  test("a start that was promised here is given back here", async () => {
    const { limiter, store } = setUp({ ...local, policy });
    await limiter.peek("other");
    store.behaviour = "fails";
    await limiter.consume("k", { cost: 10 });
    const reservation = await limiter.reserve("k");
    expect(reservation).toMatchObject({ allowed: true, delayMs: 1000 });
    store.behaviour = "answers";
    if (reservation.allowed) expect(await reservation.cancel()).toBe(true);
    store.behaviour = "fails";
    expect(await limiter.reserve("k")).toMatchObject({ allowed: true, delayMs: 1000 });
  });
});

test("prefetch spends what it holds, and takes nothing ahead", async () => {
  const { limiter, store } = setUp({ ...local, policy: hour, prefetch: { size: 4, ttl: "1h" } });
  await limiter.consume("k");
  store.behaviour = "fails";
  const sources: string[] = [];
  for (let i = 0; i < 5; i++) sources.push((await limiter.consume("k")).source);
  expect(sources).toEqual(["prefetch", "prefetch", "prefetch", "local", "local"]);
  expect((await limiter.peek("k")).remaining).toBe(8);
});

/** Policies on trial beside those that decide: asked and charged separately, and without a vote. */
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { decisionFields } from "../headers/index.js";
import {
  consumeAtomic,
  type Decision,
  fixedWindow,
  InvalidOptionError,
  MemoryStore,
  type Policy,
  RateLimiter,
  type RateLimiterOptions,
  slidingLog,
  tokenBucket,
} from "../index.js";
import { ManualClock } from "../testing/index.js";
import { OutsideStore } from "../../test/support/outside-store.js";
import { noted } from "./bound-policies.js";

const five = fixedWindow({ name: "five", limit: 5, window: "1h" });
const three = fixedWindow({ name: "three", limit: 3, window: "1h" });
const twoOnTrial = fixedWindow({ name: "two", limit: 2, window: "1h", enforce: false });
const threeOnTrial = fixedWindow({ name: "three", limit: 3, window: "1h", enforce: false });
const two = fixedWindow({ name: "two", limit: 2, window: "1h" });

type Make = (policy: Policy | readonly Policy[], more?: Partial<RateLimiterOptions>) => RateLimiter;

/** The same policies by every way to a decision: at once, by a function, and in a store that answers later. */
const WAYS: Readonly<Record<string, Make>> = {
  "in memory": (policy, more) => new RateLimiter({ policy, store: memory(), ...more }),
  "by a function": (policy, more) =>
    new RateLimiter({ policy: () => policy, store: memory(), ...more }),
  "in a store outside": (policy, more) => new RateLimiter({ policy, store: outside(), ...more }),
};

function memory(): MemoryStore {
  return new MemoryStore({ clock: new ManualClock() });
}

function outside(): OutsideStore {
  return new OutsideStore();
}

/** What is left of each policy, those on trial last. */
async function leftOf(limiter: RateLimiter, key: string): Promise<Record<string, number>> {
  const {
    policy,
    remaining,
    policies = [{ policy, remaining }],
    shadow = [],
  } = await limiter.peek(key, { cost: 0 });
  return Object.fromEntries([...policies, ...shadow].map((each) => [each.policy, each.remaining]));
}

async function denyBoth(limiter: RateLimiter): Promise<Decision[]> {
  return [await limiter.consume("k", { cost: 2 }), await limiter.consume("k", { cost: 2 })];
}

describe.each(Object.entries(WAYS))("a policy on trial, %s", (_, make) => {
  test("denies nothing, and shows in no number but its own", async () => {
    const limiter = make([five, twoOnTrial]);
    const [first, second] = await denyBoth(limiter);
    expect(first).toMatchObject({ allowed: true, policy: "five", limit: 5, remaining: 3 });
    expect(second).toMatchObject({ allowed: true, reason: "ok", remaining: 1, retryAfterMs: 0 });
    expect(first?.policies).toBeUndefined();
    expect(first?.shadow).toMatchObject([{ policy: "two", allowed: true, remaining: 0 }]);
    expect(second?.shadow).toMatchObject([{ policy: "two", allowed: false, reason: "quota" }]);
    expect(second?.shadow?.[0]?.retryAfterMs).toBeGreaterThan(0);
  });

  test("is charged where the others deny, and only by itself", async () => {
    const limiter = make([
      three,
      five,
      fixedWindow({ name: "ten", limit: 10, window: "1h", enforce: false }),
    ]);
    for (let i = 0; i < 3; i++) await limiter.consume("k", { cost: 2 });
    // Enforced together, the denied ones would have charged nothing.
    expect(await leftOf(limiter, "k")).toEqual({ three: 1, five: 3, ten: 4 });
  });

  test("that denies is not charged, and the others are", async () => {
    const limiter = make([five, twoOnTrial]);
    await limiter.consume("k", { cost: 3 });
    expect(await leftOf(limiter, "k")).toEqual({ five: 2, two: 2 });
  });

  test("is counted apart, as shadow denials", async () => {
    const limiter = make([five, twoOnTrial]);
    await denyBoth(limiter);
    const stats = limiter.stats();
    expect(stats).toMatchObject({ allowed: 2, denied: 0, shadowDenied: 0 });
    const counted = stats.shadows.map(({ policy, outcome, count, units }) => [
      policy,
      outcome,
      count,
      units,
    ]);
    expect(counted).toEqual([
      ["two", "allowed", 1, 2],
      ["two", "shadow-denied", 1, 2],
    ]);
    expect(stats.policies).toMatchObject([
      { policy: "five", mode: "enforce", limit: 5 },
      { policy: "two", mode: "shadow", limit: 2 },
    ]);
  });

  test("takes part of no grant and stands in no line", async () => {
    const limiter = make([five, twoOnTrial]);
    const grant = await limiter.consumeUpTo("k", { cost: 9 });
    expect(grant).toMatchObject({
      granted: 5,
      shadow: [{ policy: "two", allowed: true, remaining: 0 }],
    });
    const reserved = await make([five, twoOnTrial]).reserve("k", { cost: 3 });
    expect(reserved).toMatchObject({ allowed: true, delayMs: 0, decision: { remaining: 2 } });
    expect(reserved.decision.shadow).toMatchObject([{ policy: "two", allowed: false }]);
  });

  test("gives back of a grant what it had taken beyond what was used", async () => {
    const used = async (spare: number): Promise<Record<string, number>> => {
      const limiter = make([five, threeOnTrial, twoOnTrial]);
      const of = await limiter.consumeUpTo("k", { cost: 4 });
      expect(of.shadow).toMatchObject([{ charged: 3 }, { charged: 2 }]);
      expect((await limiter.refund("k", spare, { of })).refunded).toBe(spare);
      return leftOf(limiter, "k");
    };
    expect(await used(1)).toEqual({ five: 2, three: 0, two: 0 });
    expect(await used(3)).toEqual({ five: 4, three: 2, two: 1 });
  });

  test("alone gives back of a grant what it had taken beyond what was used", async () => {
    const limiter = make(twoOnTrial);
    const grant = await limiter.consumeUpTo("k", { cost: 5 });
    expect(grant).toMatchObject({ granted: 5, charged: 2 });
    expect((await limiter.refund("k", 3, { of: grant })).refunded).toBe(0);
    expect(await leftOf(limiter, "k")).toEqual({ two: 0 });
    const again = make(twoOnTrial);
    await again.settle("k", {
      reserved: 5,
      actual: 1,
      of: await again.consumeUpTo("k", { cost: 5 }),
    });
    expect(await leftOf(again, "k")).toEqual({ two: 1 });
  });

  test("gets its units back with the others, where it had taken them", async () => {
    const limiter = make([five, twoOnTrial]);
    const took = await limiter.consume("k", { cost: 2 });
    const passed = await limiter.consume("k", { cost: 2 });
    expect((await limiter.refund("k", 2, { of: passed })).refunded).toBe(2);
    expect(await leftOf(limiter, "k")).toEqual({ five: 3, two: 0 });
    await limiter.settle("k", { reserved: 2, actual: 1, of: took });
    expect(await leftOf(limiter, "k")).toEqual({ five: 4, two: 1 });
    await limiter.settle("k", { reserved: 1, actual: 2, of: took });
    expect(await leftOf(limiter, "k")).toEqual({ five: 3, two: 0 });
    await limiter.refund("k", 1);
    expect(await leftOf(limiter, "k")).toEqual({ five: 4, two: 1 });
  });

  test("is blocked, unblocked and forgotten with the others", async () => {
    const limiter = make([five, twoOnTrial]);
    await limiter.consume("k", { cost: 2 });
    await limiter.block("k", "1m");
    expect((await limiter.peek("k")).shadow).toMatchObject([{ reason: "blocked" }]);
    await limiter.reset("k");
    expect(await leftOf(limiter, "k")).toEqual({ five: 5, two: 2 });
  });

  test("blocks its own state alone when it denies", async () => {
    const limiter = make([five, twoOnTrial], { blockFor: "1m" });
    await denyBoth(limiter);
    const peeked = await limiter.peek("k");
    expect(peeked).toMatchObject({ allowed: true, shadow: [{ reason: "blocked" }] });
    const other = make(
      [two, fixedWindow({ name: "ten", limit: 10, window: "1h", enforce: false })],
      { blockFor: "1m" },
    );
    await denyBoth(other);
    expect(await other.peek("k")).toMatchObject({ reason: "blocked", shadow: [{ reason: "ok" }] });
  });

  test("decides alone as in a limiter that does not enforce", async () => {
    const limiter = make(twoOnTrial);
    const decisions = await denyBoth(limiter);
    const shadow = make(two, { enforce: false });
    expect(decisions).toEqual(await denyBoth(shadow));
    expect(decisions[1]).toMatchObject({ allowed: true, reason: "quota", retryAfterMs: 0 });
    expect(limiter.stats()).toMatchObject({ allowed: 1, denied: 0, shadowDenied: 1 });
    expect(limiter.stats().shadows.filter(({ count }) => count > 0)).toEqual([]);
    const reserved = await limiter.reserve("k");
    expect(reserved).toMatchObject({ allowed: true, delayMs: 0 });
  });

  test("is one of several that have no vote, each by itself", async () => {
    const limiter = make([
      twoOnTrial,
      fixedWindow({ name: "six", limit: 6, window: "1h", enforce: false }),
    ]);
    const [, second] = await denyBoth(limiter);
    expect(second).toMatchObject({ allowed: true, reason: "quota", policy: "two" });
    expect(second?.shadow).toMatchObject([{ policy: "six", allowed: true, remaining: 2 }]);
  });

  test("is told to listeners on the decision, who may not change it", async () => {
    const limiter = make([five, twoOnTrial]);
    const heard: Decision[] = [];
    const denials: string[] = [];
    limiter.events.on("decision", ({ decision }) => {
      heard.push(structuredClone(decision));
      Object.assign(decision.shadow?.[0] ?? {}, { allowed: "changed" });
    });
    limiter.events.on("denial", ({ policy }) => denials.push(policy));
    const decisions = await denyBoth(limiter);
    expect(heard).toEqual(decisions);
    expect(decisions[1]?.shadow?.[0]?.allowed).toBe(false);
    expect(denials).toEqual([]);
  });

  test("has no vote in consumeAtomic, and is charged where another request is denied", async () => {
    const store = memory();
    const limiter = new RateLimiter({ policy: [five, twoOnTrial], store });
    const other = new RateLimiter({
      policy: fixedWindow({ name: "one", limit: 1, window: "1h" }),
      store,
    });
    const ask = (cost: number): ReturnType<typeof consumeAtomic> =>
      consumeAtomic([
        { limiter, key: "k", cost },
        { limiter: other, key: "k", cost: 1 },
      ]);
    const first = await ask(1);
    expect(first.allowed).toBe(true);
    const second = await ask(1);
    expect(second.allowed).toBe(false);
    expect(second.decisions[0]?.shadow).toMatchObject([{ policy: "two", remaining: 0 }]);
    expect(await leftOf(limiter, "k")).toEqual({ five: 4, two: 0 });
    const trial = new RateLimiter({ policy: twoOnTrial, store, namespace: "trial" });
    const [, third] = [
      await trial.consume("k", { cost: 2 }),
      await consumeAtomic([
        { limiter: trial, key: "k" },
        { limiter, key: "l" },
      ]),
    ];
    expect(third).toMatchObject({
      allowed: true,
      decisions: [{ reason: "quota" }, { reason: "ok" }],
    });
  });
});

describe("a policy on trial", () => {
  test("says so in its value, and nowhere in its key", () => {
    expect(twoOnTrial).toEqual({ ...two, enforce: false });
    expect(fixedWindow({ limit: 1, window: "1h", enforce: true })).not.toHaveProperty("enforce");
    expect(() => fixedWindow({ limit: 1, window: "1h", enforce: 0 as never })).toThrow(
      new InvalidOptionError("enforce", 0, "true or false"),
    );
  });

  test("shares its state with a limiter that enforces it", async () => {
    const store = memory();
    const trial = new RateLimiter({ policy: [five, twoOnTrial], store });
    await trial.consume("k", { cost: 2 });
    const enforcing = new RateLimiter({ policy: [five, two], store });
    expect(await enforcing.consume("k")).toMatchObject({ allowed: false, policy: "two" });
  });

  test("may be so for one call, or for some keys", async () => {
    const limiter = new RateLimiter({
      policy: (key) => (key === "new" ? two : twoOnTrial),
      store: memory(),
    });
    for (const key of ["new", "old"]) await limiter.consume(key, { cost: 2 });
    expect((await limiter.consume("new")).allowed).toBe(false);
    expect((await limiter.consume("old")).allowed).toBe(true);
    expect(limiter.stats()).toMatchObject({ allowed: 2, denied: 1, shadowDenied: 1 });
    const both = new RateLimiter({ policy: [five, two], store: memory() });
    const decision = await both.consume("k", { cost: 3, policy: [twoOnTrial] });
    expect(decision).toMatchObject({ allowed: true, shadow: [{ policy: "two", allowed: false }] });
  });

  test("is not stated in fields, nor are those of a set without a vote", async () => {
    const limiter = new RateLimiter({ policy: [five, twoOnTrial], store: memory() });
    const decision = await limiter.consume("k", { cost: 3 });
    const fields = decisionFields([{ decision, policies: await limiter.policies("k") }]);
    expect(JSON.stringify(fields)).toContain("five");
    expect(JSON.stringify(fields)).not.toContain("two");
    expect(await new RateLimiter({ policy: twoOnTrial }).policies("k")).toEqual([]);
  });

  test("is asked although the others are sure to be denied, or have units taken ahead", async () => {
    const store = outside();
    const one = fixedWindow({ name: "one", limit: 1, window: "1h" });
    const ten = fixedWindow({ name: "ten", limit: 10, window: "1h", enforce: false });
    const limiter = new RateLimiter({ policy: [one, ten], store });
    for (let i = 0; i < 4; i++) await limiter.consume("k");
    expect(await leftOf(limiter, "k")).toEqual({ one: 0, ten: 6 });
    expect(limiter.stats().decisions.filter(({ source }) => source === "deny-cache")).toEqual([]);
    const ahead = new RateLimiter({
      policy: [five, ten],
      store: outside(),
      prefetch: { size: 5, ttl: "1m" },
    });
    onTestFinished(() => ahead.close());
    const { source } = await ahead.consume("k");
    expect([source, await leftOf(ahead, "k")]).toEqual(["store", { five: 4, ten: 9 }]);
  });

  test("leaves no denial behind for when it is enforced", async () => {
    const store = outside();
    const trial = new RateLimiter({ policy: twoOnTrial, store });
    await trial.consume("k", { cost: 3 });
    const limiter = new RateLimiter({ policy: two, store });
    expect(trial.stats().deniedKeys).toBe(0);
    expect(await limiter.consume("k", { cost: 2 })).toMatchObject({
      allowed: true,
      source: "store",
    });
  });

  test("blocks itself when it denies in consumeAtomic, and is not blocked by a settlement", async () => {
    const limiter = new RateLimiter({
      policy: [five, twoOnTrial],
      store: memory(),
      blockFor: "1m",
    });
    const ask = (): ReturnType<typeof consumeAtomic> =>
      consumeAtomic([{ limiter, key: "k", cost: 2 }]);
    expect([(await ask()).allowed, (await ask()).allowed]).toEqual([true, true]);
    expect((await limiter.peek("k")).shadow).toMatchObject([{ reason: "blocked" }]);
    await limiter.consume("l", { cost: 1, settle: true });
    await limiter.settle("l", { reserved: 1, actual: 5 });
    const used = await limiter.peek("l", { cost: 0 });
    expect(used).toMatchObject({ reason: "blocked", shadow: [{ reason: "quota" }] });
  });

  test("is charged once for a wait that asks again", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const window = fixedWindow({ name: "window", limit: 1, window: "1s", align: "first" });
    const ten = fixedWindow({ name: "ten", limit: 10, window: "1h", enforce: false });
    const limiter = new RateLimiter({ policy: [window, ten], store });
    await limiter.consume("k");
    const waiting = limiter.acquire("k");
    // Until it sleeps.
    await turn();
    clock.advance(1000);
    expect((await waiting).shadow).toMatchObject([{ policy: "ten", remaining: 8 }]);
    expect(await leftOf(limiter, "k")).toEqual({ window: 0, ten: 8 });
    expect(limiter.stats().shadows.reduce((sum, { count }) => sum + count, 0)).toBe(2);
  });

  test("gets its units back with a start that is cancelled", async () => {
    const bucket = tokenBucket({ name: "bucket", limit: 1, period: "1h" });
    const limiter = new RateLimiter({ policy: [bucket, twoOnTrial], store: memory() });
    await limiter.consume("k");
    const reservation = await limiter.reserve("k");
    expect((await limiter.peek("k")).shadow?.[0]?.remaining).toBe(0);
    expect(reservation.allowed && (await reservation.cancel())).toBe(true);
    expect((await limiter.peek("k")).shadow?.[0]?.remaining).toBe(1);
  });

  test("passes where it cannot be asked, and its failure is told", async () => {
    const store = new MemoryStore({ clock: new ManualClock() });
    const log = slidingLog({ name: "log", limit: 9, window: "1h", enforce: false });
    const limiter = new RateLimiter({ policy: [five, log], store });
    const execute = store.executeSync.bind(store);
    const broken = new Error("no memory");
    store.executeSync = (call) => {
      if (call.debits[0]?.name === "log") throw broken;
      return execute(call);
    };
    const failures: unknown[] = [];
    limiter.events.on("failure", ({ error }) => failures.push(error));
    const decision = await limiter.consume("k");
    expect(decision).toMatchObject({ allowed: true, source: "store", remaining: 4 });
    expect(decision.shadow).toMatchObject([{ policy: "log", allowed: true, reason: "store" }]);
    expect(failures).toEqual([broken]);
  });

  test("is decided in this process while the store is away", async () => {
    const store = outside();
    const limiter = new RateLimiter({ policy: [five, twoOnTrial], store });
    limiter.events.on("failure", () => {});
    store.behaviour = "fails";
    const [first, second] = await denyBoth(limiter);
    expect(first).toMatchObject({ source: "local", shadow: [{ reason: "ok", remaining: 0 }] });
    expect(second).toMatchObject({ allowed: true, source: "local", shadow: [{ reason: "quota" }] });
    await limiter.refund("k", 2, { of: first as Decision });
    expect(await leftOf(limiter, "k")).toEqual({ five: 3, two: 2 });
    const open = new RateLimiter({
      policy: [five, twoOnTrial],
      store,
      namespace: "open",
      onStoreFailure: "open",
    });
    expect(await open.consume("k", { cost: 9 })).toMatchObject({
      source: "fail-open",
      shadow: [{ policy: "two", allowed: true, reason: "store" }],
    });
  });
});

describe("a note on policies", () => {
  const plan = noted([five, twoOnTrial], { rule: "api", version: 7, override: "acme" });

  test("is on every decision, its events, and where another request denied", async () => {
    const store = outside();
    const limiter = new RateLimiter({ policy: () => plan, store });
    const label = { rule: "api", version: 7, override: "acme" };
    const heard: Decision[] = [];
    limiter.events.on("decision", ({ decision }) => heard.push(decision));
    expect(await limiter.consume("k", { cost: 5 })).toMatchObject(label);
    expect(await limiter.consume("k")).toMatchObject({ ...label, allowed: false });
    expect(await limiter.peek("k")).toMatchObject(label);
    expect(heard).toMatchObject([label, label, label]);
    const { decisions } = await consumeAtomic([
      { limiter, key: "k" },
      { limiter, key: "l" },
    ]);
    expect(decisions).toMatchObject([label, label]);
  });

  test("leaves the shortcuts where there is nothing on trial, with the label of now", async () => {
    const store = outside();
    let version = 1;
    const limiter = new RateLimiter({ policy: () => noted([five], { version }), store });
    await limiter.consume("k", { cost: 6 });
    version = 2;
    expect(await limiter.consume("k", { cost: 6 })).toMatchObject({
      source: "deny-cache",
      version: 2,
    });
  });

  test("may deny everything, or exempt from it, without the store", async () => {
    const store = outside();
    const answers = { bad: "deny", good: "exempt" } as const;
    const limiter = new RateLimiter({
      policy: (key) => noted([two], { override: key, answer: answers[key as "bad"] }),
      store,
      onStoreFailure: "throw",
    });
    store.behaviour = "fails";
    expect(await limiter.consume("bad")).toMatchObject({
      allowed: false,
      reason: "blocked",
      remaining: 0,
      retryAfterMs: Number.POSITIVE_INFINITY,
      source: "override",
      override: "bad",
    });
    for (let i = 0; i < 3; i++) {
      expect(await limiter.consume("good")).toMatchObject({
        allowed: true,
        remaining: 2,
        source: "override",
      });
    }
    expect(await limiter.consumeUpTo("good", { cost: 9 })).toMatchObject({ granted: 9 });
    expect(await limiter.reserve("good", { cost: 9 })).toMatchObject({ allowed: true, delayMs: 0 });
    await expect(limiter.acquire("bad")).rejects.toThrow("no quota within maxWait");
    expect(limiter.stats()).toMatchObject({ allowed: 5, denied: 2 });
    await expect(limiter.consume("other")).rejects.toThrow("connection lost");
  });

  test("that denies or exempts holds in consumeAtomic", async () => {
    const store = memory();
    const answers = { bad: "deny", good: "exempt" } as const;
    const limiter = new RateLimiter({
      policy: (key) => noted([two], { answer: answers[key as "bad"] }),
      store,
    });
    const ask = (...keys: readonly string[]): ReturnType<typeof consumeAtomic> =>
      consumeAtomic(keys.map((key) => ({ limiter, key, cost: 2 })));
    expect(await ask("bad", "k")).toMatchObject({
      allowed: false,
      decisions: [{ reason: "blocked" }, { reason: "ok" }],
    });
    expect((await limiter.peek("k")).remaining).toBe(2);
    expect(await ask("good", "k")).toMatchObject({
      allowed: true,
      decisions: [{ source: "override" }, { remaining: 0 }],
    });
    expect((await ask("good", "good")).allowed).toBe(true);
    expect((await ask("good", "k")).allowed).toBe(false);
  });
});

/** Fields of real decisions say nothing that is not so: what is looked at is what comes of waiting as long as they say. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  consumeAtomic,
  type Decision,
  type PolicyVerdict,
  RateLimiter,
  tokenBucket,
} from "../../src/index.js";
import { decisionFields, type Fields } from "../../src/headers/index.js";
import type { ServiceLimit } from "../../src/headers/rate-limit.js";
import { ManualClock, PureStore } from "../../src/testing/index.js";
import {
  capacityOf,
  costOf,
  type LimitedPolicy,
  moveUs,
  policySets,
  starts,
  steps,
} from "../properties/arbitraries.js";
import { drain, policy as outside, setUp } from "../support/outside-limiter.js";
import { OutsideStore } from "../support/outside-store.js";
import { runs } from "../support/runs.js";
import { read, type Said } from "./said.js";

const KEY = "k";
const VERBS = [
  "consume",
  "consumeUpTo",
  "peek",
  "refund",
  "penalize",
  "reserve",
  "block",
  "blockForEver",
  "unblock",
] as const;
type PlayedVerb = (typeof VERBS)[number];

/** Limiters in one process whose state can be looked at later without disturbing it. */
class World {
  readonly clock = new ManualClock();
  readonly store = new PureStore(this.clock);
  readonly policies: readonly LimitedPolicy[];
  readonly limiter: RateLimiter<PureStore>;
  /** Whether somebody waited in line in a set: its buckets are kept as long as the slowest of them is waited for. */
  hasLine = false;

  constructor(set: readonly LimitedPolicy[], startUs: number, blockFor: number | undefined) {
    this.clock.set(startUs);
    this.policies = set;
    this.limiter = new RateLimiter({ policy: set, store: this.store, blockFor });
  }

  async do(verb: PlayedVerb, cost: number): Promise<Decision | undefined> {
    const { limiter } = this;
    switch (verb) {
      case "consume":
      case "consumeUpTo":
      case "peek":
        return limiter[verb](KEY, { cost });
      case "refund":
      case "penalize":
        return limiter[verb](KEY, cost);
      case "reserve":
        this.hasLine ||= this.policies.length > 1;
        return (await limiter.reserve(KEY, { cost, maxWait: "1h" })).decision;
      case "block":
        await limiter.block(KEY, 2500);
        return undefined;
      case "blockForEver":
        await limiter.block(KEY, Number.POSITIVE_INFINITY);
        return undefined;
      case "unblock":
        await limiter.unblock(KEY);
        return undefined;
    }
  }

  /** What a peek would say `us` from now. */
  async later(us: number, cost: number): Promise<Decision> {
    const nowUs = this.clock.nowUs();
    const before = this.store.snapshot();
    this.clock.set(nowUs + us);
    const decision = await this.limiter.peek(KEY, { cost });
    this.clock.set(nowUs);
    this.store.restore(before);
    return decision;
  }
}

/** What the verb asks for at least: of a part the first unit. */
function askedOf(verb: PlayedVerb, cost: number): number {
  if (verb === "consumeUpTo") return 1;
  return verb === "refund" || verb === "penalize" ? 0 : cost;
}

function verdictsOf(decision: Decision): readonly (PolicyVerdict | Decision)[] {
  return decision.policies ?? [decision];
}

/** Decisions are in whole milliseconds rounded up, and of these some steps are taken off. */
const ROUNDING_US = 2000;

async function checkTruth(
  world: World,
  verb: PlayedVerb,
  cost: number,
  decision: Decision,
): Promise<void> {
  const said = read(decisionFields([{ decision, policies: world.policies }]));
  const asked = askedOf(verb, cost);
  assert.equal(said.limits.length, world.policies.length);
  await checkRetryAfter(world, verb, said, asked, decision);
  const now = verdictsOf(await world.later(0, 0));
  for (const [i, verdict] of verdictsOf(decision).entries()) {
    const policy = world.policies[i] as LimitedPolicy;
    const limit = said.limits[i] as ServiceLimit;
    assert.equal(limit.name, policy.name);
    assert.deepEqual(said.quotas.get(policy.name), {
      q: Math.floor(capacityOf(policy)),
      w: Math.max(1, Math.ceil(verdict.windowMs / 1e3)),
    });
    if (verdict.reason === "blocked") {
      assert.equal(limit.remaining, 0);
      assert.equal(limit.resetAfterMs, secondsUp(verdict.retryAfterMs));
    } else {
      assert.equal(limit.remaining, Math.floor(verdict.remaining));
      // That it is blocked shows in no decision on what is too costly anyway.
      if (now[i]?.reason !== "blocked") await checkReset(world, i, verb, limit, asked, verdict);
    }
  }
}

/** From here on a number of seconds reads as a date, so no field has it. */
const FIRST_DATE_MS = 1e12;

function secondsUp(ms: number): number | undefined {
  const up = Math.ceil(ms / 1e3) * 1e3;
  return up < FIRST_DATE_MS ? up : undefined;
}

/** Who would have waited in line is told when the work could have started, though waiting may begin before. */
const isNow = (verb: PlayedVerb): boolean => verb !== "reserve";

async function checkRetryAfter(
  world: World,
  verb: PlayedVerb,
  said: Said,
  asked: number,
  { allowed, reason, retryAfterMs }: Decision,
): Promise<void> {
  if (allowed || reason === "too-costly" || secondsUp(retryAfterMs) === undefined) {
    assert.equal(said.retryAfterMs, undefined);
    return;
  }
  const afterUs = (said.retryAfterMs ?? Number.NaN) * 1e3;
  assert.ok(afterUs > 0);
  assert.equal((await world.later(afterUs, asked)).allowed, true);
  if (isNow(verb)) assert.equal((await world.later(afterUs - 1e6, asked)).allowed, false);
}

/** Whether `t` is known to be no later than it must be. */
function isExact(policy: LimitedPolicy, remaining: number): boolean {
  if (policy.algorithm === "sliding-window" || policy.algorithm === "sliding-log") return false;
  if (!("refill" in policy) || policy.refill !== "interval") return true;
  // How deep a debt is does not show, nor what is in use of a unit.
  return remaining > 0 && Number.isInteger(policy.limit) && Number.isInteger(policy.burst);
}

async function checkReset(
  world: World,
  i: number,
  verb: PlayedVerb,
  limit: ServiceLimit,
  asked: number,
  verdict: PolicyVerdict,
): Promise<void> {
  const policy = world.policies[i] as LimitedPolicy;
  if (limit.resetAfterMs === undefined) {
    const isEmpty = capacityOf(policy) < 1 && verdict.resetAfterMs === 0;
    assert.ok(isEmpty || verdict.resetAfterMs >= FIRST_DATE_MS - 1e3);
    return;
  }
  const resetUs = limit.resetAfterMs * 1e3;
  const at = async (us: number, cost: number): Promise<PolicyVerdict> =>
    verdictsOf(await world.later(us, cost))[i] as PolicyVerdict;
  if (verdict.reason === "quota") {
    assert.equal((await at(resetUs, asked)).allowed, true);
    if (isNow(verb)) assert.equal((await at(resetUs - 1e6, asked)).allowed, false);
    return;
  }
  const full = Math.floor(capacityOf(policy));
  const then = await at(resetUs, 0);
  if (verdict.remaining < full) assert.ok(then.remaining > verdict.remaining);
  else assert.equal(then.remaining, full);
  if (world.hasLine || !isExact(policy, verdict.remaining) || resetUs === 0) return;
  const before = await at(Math.max(0, resetUs - 1e6 - ROUNDING_US), 0);
  if (verdict.remaining < full) assert.equal(before.remaining, verdict.remaining);
}

describe("the fields of decisions on a store", () => {
  test("are true, whatever was done before", async () => {
    let decisions = 0;
    await fc.assert(
      fc.asyncProperty(
        policySets,
        starts,
        fc.constantFrom(undefined, 1700),
        steps(VERBS, 16),
        async (set, startUs, blockFor, trace) => {
          const world = new World(set, startUs, blockFor);
          for (const step of trace) {
            const nowUs = world.clock.nowUs() + moveUs(step, set[0] as LimitedPolicy);
            world.clock.set(Math.max(0, nowUs));
            const cost = costOf(step, set[0] as LimitedPolicy);
            const decision = await world.do(step.verb, cost);
            if (decision === undefined) continue;
            decisions += 1;
            await checkTruth(world, step.verb, cost, decision);
          }
        },
      ),
      { numRuns: runs(5000) },
    );
    expect(decisions).toBeGreaterThanOrEqual(runs(20_000));
  });
});

describe("the fields of several decisions", () => {
  const user = tokenBucket({ name: "user", limit: 5, period: "5s" });
  const team = tokenBucket({ name: "team", limit: 2, period: "20s" });

  test.each([true, false])(
    "taken together, atomic: %s, are of each and wait for all",
    async (atomic) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.nat(7), fc.nat(4), fc.nat(3000)), { minLength: 1, maxLength: 12 }),
          async (calls) => {
            const clock = new ManualClock();
            const store = new PureStore(clock);
            const a = new RateLimiter({ policy: user, store });
            const b = new RateLimiter({ policy: team, store });
            for (const [costA, costB, ms] of calls) {
              clock.advance(ms);
              const requests = [
                { limiter: a, key: "ann", cost: costA },
                { limiter: b, key: "blue", cost: costB },
              ];
              const { decisions, allowed } = await consumeAtomic(requests, { atomic });
              const charged = [
                { decision: decisions[0] as Decision, policies: [user] },
                { decision: decisions[1] as Decision, policies: [team] },
              ];
              const said = read(decisionFields(charged));
              assert.deepEqual(
                said.limits.map(({ name }) => name),
                ["user", "team"],
              );
              const isNever = costA > 5 || costB > 2;
              assert.equal(said.retryAfterMs === undefined, allowed || isNever);
              if (said.retryAfterMs === undefined) continue;
              const nowUs = clock.nowUs();
              const before = store.snapshot();
              clock.advance(said.retryAfterMs);
              assert.equal((await consumeAtomic(requests, { atomic })).allowed, true);
              clock.set(nowUs + (said.retryAfterMs - 1000) * 1e3);
              store.restore(before);
              assert.equal((await consumeAtomic(requests, { atomic })).allowed, false);
              clock.set(nowUs);
              store.restore(before);
            }
          },
        ),
        { numRuns: runs(500) },
      );
    },
  );
});

describe("the fields of decisions without the store", () => {
  const policy = tokenBucket({ limit: 2, period: "2s" });
  const fallbackTo = new RateLimiter({ policy });

  test.each([
    ["local", "local", "1"],
    ["fail-open", "open", undefined],
    ["fail-closed", "closed", "1"],
    ["fallback", { fallback: fallbackTo }, "1"],
  ] as const)("%s: nothing but when to come back", async (source, onStoreFailure, wait) => {
    const store = new OutsideStore();
    store.behaviour = "fails";
    const limiter = new RateLimiter({ policy, store, onStoreFailure });
    onTestFinished(() => limiter.close());
    let decision = await limiter.consume("k");
    for (let i = 0; i < 5; i++) decision = await limiter.consume("k");
    expect(decision.source).toBe(source);
    const fields = decisionFields([{ decision, policies: [policy] }]);
    expect(fields).toEqual(wait === undefined ? [] : [["Retry-After", wait]]);
  });

  test("none of what a shadow would have refused", async () => {
    const limiter = new RateLimiter({ policy, enforce: false });
    let decision = await limiter.consume("k");
    for (let i = 0; i < 5; i++) decision = await limiter.consume("k");
    expect(decision).toMatchObject({ allowed: true, reason: "quota" });
    expect(decisionFields([{ decision, policies: [policy], enforce: false }])).toEqual([]);
  });
});

describe("the fields of decisions by shortcuts", () => {
  test("a denial that is repeated without the store waits as long as is left", async () => {
    const { limiter, pass, asked } = setUp();
    onTestFinished(() => limiter.close());
    const fields = (decision: Decision): Fields =>
      decisionFields([{ decision, policies: [outside] }]);
    expect(fields(await drain(limiter, "k", 3))).toEqual([
      ["RateLimit-Policy", '"token-bucket";q=10;w=10'],
      ["RateLimit", '"token-bucket";r=0;t=3'],
      ["Retry-After", "3"],
    ]);
    const calls = asked();
    pass(100);
    const repeated = await limiter.consume("k", { cost: 3 });
    expect([repeated.source, repeated.retryAfterMs]).toEqual(["deny-cache", 2900]);
    expect(asked()).toBe(calls);
    expect(fields(repeated).slice(1)).toEqual([
      ["RateLimit", '"token-bucket";r=0;t=3'],
      ["Retry-After", "3"],
    ]);
  });

  test("units that were taken ahead remain, and the next comes with the next step", async () => {
    const { limiter } = setUp({ prefetch: { size: 5, ttl: "1s" }, denyCache: false });
    const said: string[] = [];
    for (let i = 0; i < 12; i++) {
      const decision = await limiter.consume("k");
      const fields = new Map(decisionFields([{ decision, policies: [outside] }]));
      said.push(`${decision.source} ${fields.get("RateLimit")}`);
    }
    expect(said[1]).toBe('prefetch "token-bucket";r=8;t=1');
    expect(said[4]).toBe('prefetch "token-bucket";r=5;t=1');
    expect(said[9]).toBe('prefetch "token-bucket";r=0;t=1');
    expect(said[11]).toBe('store "token-bucket";r=0;t=1');
  });
});

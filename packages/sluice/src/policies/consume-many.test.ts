/** Several requests decide together or each for itself; what they took goes back by decision or by request. */
import { describe, expect, onTestFinished, test } from "vitest";
import { Random } from "../core/random.js";
import { fixedWindow, tokenBucket } from "../index.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import { ManualClock } from "../testing/manual-clock.js";
import { PureStore } from "../testing/pure-store.js";
import type { Store } from "../stores/store.js";
import type { PoliciesDocument, PolicyRule } from "./document.js";
import { PolicySet } from "./policy-set.js";
import { rulesFields } from "./rules-fields.js";
import { playRules } from "../../test/support/rules-model.js";
import { runs } from "../../test/support/runs.js";

const hourly = (limit: number): PolicyRule["policy"] => {
  return { algorithm: "fixed-window", limit, window: "1h" };
};

const user = (limit: number, more: Partial<PolicyRule> = {}): PolicyRule => {
  return { name: "user", key: ["user"], policy: hourly(limit), ...more };
};

const team = (limit: number, more: Partial<PolicyRule> = {}): PolicyRule => {
  return { name: "team", key: ["team"], policy: hourly(limit), ...more };
};

const ann = { entries: { user: "ann", team: "blue" } };
const ben = { entries: { user: "ben", team: "blue" } };

function made(document: PoliciesDocument, store?: Store): PolicySet {
  const rules = new PolicySet({
    store: store ?? new MemoryStore({ clock: new ManualClock() }),
    source: document,
  });
  onTestFinished(() => rules.close());
  return rules;
}

const left = async (rules: PolicySet, request = ann): Promise<number[]> =>
  (await rules.peek(request)).rules.map(({ decision }) => decision.remaining);

describe("together", () => {
  test("all requests pass, or none is charged; what they charge to one key adds up", async () => {
    const rules = made({ rules: [user(5), team(5)] });
    const three = [ann, ann, ben];
    const first = await rules.consumeMany(three, { atomic: true });
    expect(first).toMatchObject({ allowed: true, atomic: true });
    expect(first.decisions.map(({ allowed, remaining }) => [allowed, remaining])).toEqual([
      [true, 2],
      [true, 2],
      [true, 2],
    ]);
    expect(await left(rules)).toEqual([3, 2]);
    const second = await rules.consumeMany(three, { atomic: true });
    expect(second.allowed).toBe(false);
    expect(second.decisions.map(({ allowed, rule }) => [allowed, rule])).toEqual([
      [false, "team"],
      [false, "team"],
      [false, "team"],
    ]);
    expect(await left(rules)).toEqual([3, 2]);
  });

  test("one that is denied keeps the others from being charged, and these say that they would pass", async () => {
    const rules = made({ rules: [user(1)] });
    await rules.consume(ben);
    const { allowed, decisions } = await rules.consumeMany([ann, ben], { atomic: true });
    expect(allowed).toBe(false);
    expect(decisions.map((each) => each.allowed)).toEqual([true, false]);
    expect(await left(rules)).toEqual([1]);
  });

  test("nothing was charged to one that was spared, so its refund and its settlement give nothing", async () => {
    const rules = made({ rules: [user(3)] });
    await rules.consume({ ...ann, cost: 2 });
    await rules.consume({ ...ben, cost: 3 });
    const { decisions } = await rules.consumeMany([ann, ben], { atomic: true });
    const [spared] = decisions;
    expect(spared?.allowed).toBe(true);
    expect(await rules.refund(spared as never)).toEqual([]);
    expect(await rules.settle(spared as never, { cost: 0 })).toEqual([]);
    expect(await left(rules)).toEqual([1]);
  });

  test("each gives back what it took", async () => {
    const rules = made({ rules: [user(9), team(9)] });
    const many = await rules.consumeMany([{ ...ann, cost: 4 }, ben], { atomic: true });
    await rules.refund(many.decisions[0] as never);
    expect([await left(rules), await left(rules, ben)]).toEqual([
      [9, 8],
      [8, 8],
    ]);
  });

  test("rules in shadow and candidates are charged in any case, and have no vote", async () => {
    const rules = made({
      rules: [user(2, { candidate: { policy: hourly(9) } }), team(1, { mode: "shadow", cost: 1 })],
    });
    const { allowed, decisions } = await rules.consumeMany([ann, ann], { atomic: true });
    expect(allowed).toBe(true);
    expect(decisions[1]?.rules[1]).toMatchObject({ mode: "shadow", decision: { reason: "quota" } });
    const denied = await rules.consumeMany([ann, ann], { atomic: true });
    expect(denied.allowed).toBe(false);
    const [first] = (await rules.peek(ann)).rules;
    expect(first?.decision.shadow?.[0]?.remaining).toBe(5);
  });

  test("an override that denies one keeps all from being charged", async () => {
    const rules = made({
      rules: [user(5)],
      overrides: [{ rule: "user", key: "user=ben", mode: "deny" }],
    });
    const { allowed, decisions } = await rules.consumeMany([ann, ben], { atomic: true });
    expect([allowed, decisions[1]?.reason]).toEqual([false, "blocked"]);
    expect(await left(rules)).toEqual([5]);
  });

  test("no requests, and requests that meet no rule, pass", async () => {
    const rules = made({ rules: [user(1)] });
    const free = { entries: { address: "192.0.2.7" } };
    expect(await rules.consumeMany([], { atomic: true })).toEqual({
      allowed: true,
      decisions: [],
      atomic: true,
    });
    const { decisions } = await rules.consumeMany([free, ann, free], { atomic: true });
    expect(decisions.map(({ rules: met }) => met.length)).toEqual([0, 1, 0]);
    expect(decisions[1]?.remaining).toBe(0);
    const none = await rules.consumeMany([free, free], { atomic: true });
    expect(none.decisions.map(({ remaining }) => remaining)).toEqual([Infinity, Infinity]);
  });

  test("more charges than a store takes at once are refused, and charge nothing", async () => {
    const rules = made({ rules: [user(2000)] });
    const asked = rules.consumeMany(
      Array.from({ length: 1001 }, () => ann),
      { atomic: true },
    );
    await expect(asked).rejects.toThrow("at most 1000 policies together");
    expect(await left(rules)).toEqual([2000]);
  });
});

test("the fields of several decisions list each rule once, as it was denied or with least left", async () => {
  const rules = made({ rules: [user(5), team(9, { mode: "shadow" })] });
  const { decisions } = await rules.consumeMany([{ ...ann, cost: 2 }, ben, { ...ann, cost: 1 }]);
  const limitIn = (fields: readonly (readonly [string, string])[]): string =>
    fields.find(([name]) => name === "RateLimit")?.[1] ?? "";
  expect(limitIn(rulesFields(decisions))).toMatch(/^"user";r=2;t=\d+$/);
  const mixed = await rules.consumeMany([{ ...ann, cost: 4 }, ann]);
  expect(mixed.decisions.map(({ allowed }) => allowed)).toEqual([false, true]);
  expect(rulesFields(mixed.decisions).map(([name]) => name)).toEqual([
    "RateLimit-Policy",
    "RateLimit",
    "Retry-After",
  ]);
  expect(rulesFields([await rules.peek(ann)])).toHaveLength(2);
});

describe("each for itself", () => {
  test("in order, and what one takes the next one has not", async () => {
    const rules = made({ rules: [user(2), team(9)] });
    const many = await rules.consumeMany([ann, ann, ann, ben]);
    expect(many).toMatchObject({ allowed: false, atomic: false });
    expect(many.decisions.map(({ allowed }) => allowed)).toEqual([true, true, false, true]);
    expect(await left(rules)).toEqual([0, 6]);
    await rules.refund(many.decisions[0] as never);
    expect(await left(rules)).toEqual([1, 7]);
  });

  test("any number of them", async () => {
    const rules = made({ rules: [user(1500), team(9000)] });
    const { decisions } = await rules.consumeMany(Array.from({ length: 2000 }, () => ann));
    expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(1500);
  });
});

describe("back by request", () => {
  test("what consume takes, of shadows and candidates too, and no more than the limit", async () => {
    const rules = made({
      rules: [user(5, { candidate: { policy: hourly(3) } }), team(9, { mode: "shadow", cost: 2 })],
    });
    await rules.consume({ ...ann, cost: 3 });
    const refunds = await rules.giveBack({ ...ann, cost: 2 });
    expect(refunds.map(({ rule, refunded }) => [rule, refunded])).toEqual([
      ["user", 2],
      ["team", 2],
    ]);
    const now = (await rules.peek(ann)).rules;
    expect(now.map(({ decision }) => decision.remaining)).toEqual([4, 9]);
    expect(now[0]?.decision.shadow?.[0]?.remaining).toBe(2);
    expect((await rules.giveBack({ ...ann, cost: 50 })).map(({ refunded }) => refunded)).toEqual([
      1, 0,
    ]);
    expect(await left(rules)).toEqual([5, 9]);
  });

  test("nothing where an override decides by itself, or no rule is met", async () => {
    const document = { rules: [user(5)] };
    const rules = made(document);
    await rules.consume({ ...ben, cost: 3 });
    rules.replace({ ...document, overrides: [{ rule: "user", key: "user=ben", mode: "exempt" }] });
    const [refund] = await rules.giveBack(ben);
    expect(refund?.refunded).toBe(0);
    expect(await rules.giveBack({ entries: { address: "192.0.2.7" } })).toEqual([]);
    rules.replace(document);
    expect(await left(rules, ben)).toEqual([2]);
  });
});

test("only what consume decided can be given back, not what was peeked at", async () => {
  const rules = made({ rules: [user(1)] });
  const decision = await rules.peek(ann);
  await expect(rules.refund(decision)).rejects.toThrow("peek takes nothing");
});

describe("a request's own policy", () => {
  const policy = fixedWindow({ name: "whatever", limit: 2, window: "1h" });

  test("decides for rules that allow it, under their name, and their candidates are not asked", async () => {
    const rules = made({
      rules: [user(9, { allowOverride: true, candidate: { policy: hourly(1) } }), team(9)],
    });
    const decision = await rules.consume({ ...ann, policy });
    expect(decision).toMatchObject({ rule: "user", policy: "user", limit: 2, remaining: 1 });
    expect(decision.rules[0]?.decision.shadow).toBeUndefined();
    expect(decision.rules[1]?.decision.limit).toBe(9);
    const { allowed } = await rules.consumeMany([ann, ann].map((each) => ({ ...each, policy })));
    expect(allowed).toBe(false);
    // One state, whosever policy decides.
    expect(await left(rules)).toEqual([7, 7]);
    await rules.refund(decision);
    expect(await left(rules)).toEqual([8, 8]);
  });

  test("goes over an operator's limit, and under one who denies or exempts", async () => {
    const rules = made({
      rules: [user(9, { allowOverride: true })],
      overrides: [
        { rule: "user", key: "user=ann", policy: { limit: 5 } },
        { rule: "user", key: "user=ben", mode: "deny" },
      ],
    });
    const decision = await rules.consume({ ...ann, policy });
    expect(decision.limit).toBe(2);
    expect(decision.override).toBeUndefined();
    expect(await rules.consume({ ...ben, policy })).toMatchObject({ reason: "blocked" });
  });

  test("is the rule's to enforce, and may have another algorithm", async () => {
    const rules = made({ rules: [user(9, { allowOverride: true, mode: "shadow" })] });
    const own = tokenBucket({ limit: 1, period: "1h" });
    await rules.consume({ ...ann, policy: own });
    const second = await rules.consume({ ...ann, policy: own });
    expect(second).toMatchObject({ allowed: true, reason: "quota", limit: 1 });
    const enforced = made({ rules: [user(9, { allowOverride: true })] });
    const trial = { ...own, enforce: false } as const;
    await enforced.consume({ ...ann, policy: trial });
    expect((await enforced.consume({ ...ann, policy: trial })).allowed).toBe(false);
  });
});

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

describe.each([
  ["memory", () => new MemoryStore({ clock: new ManualClock() })],
  ["the pure kernels", () => new PureStore(new ManualClock())],
] as const)(`against an exact model, seed ${seed}, on %s`, (_, storeOf) => {
  test("every answer and every balance is the model's", async () => {
    const met = { allowed: 0, denied: 0, spared: 0, refunded: 0, givenBack: 0 };
    for (let run = 0; run < runs(150); run++) {
      const store = storeOf();
      await playRules(new Random(seed + run), store, `run ${run}`, met);
      await store.close();
    }
    expect(Object.values(met).every((count) => count > 0)).toBe(true);
  });
});

/** A part of the cost, penalties and starts ahead, of all rules that a request meets. */
import { expect, onTestFinished, test } from "vitest";
import { MemoryStore } from "../stores/memory/memory-store.js";
import { ManualClock } from "../testing/manual-clock.js";
import type { PoliciesDocument, PolicyRule } from "./document.js";
import { PolicySet } from "./policy-set.js";
import { rulesFields } from "./rules-fields.js";
import { cancelReserved, consumeRulesUpTo, penalizeRules, reserveRules } from "./rules-verbs.js";

const rule = (name: string, limit: number, more: Partial<PolicyRule> = {}): PolicyRule => {
  return { name, key: [name], policy: { algorithm: "token-bucket", limit, period: "1h" }, ...more };
};

const request = { entries: { user: "ann", team: "blue" } };

function made(document: PoliciesDocument, store = new MemoryStore({ clock: new ManualClock() })) {
  const rules = new PolicySet({ store, source: document });
  onTestFinished(() => rules.close());
  const left = async (name: string): Promise<number> =>
    (await rules.peek({ rule: name, entries: request.entries, cost: 0 })).remaining;
  return { rules, left };
}

test("grants the least of all rules that enforce, and gives the rest back", async () => {
  const { rules, left } = made({
    rules: [rule("user", 10), rule("team", 3), rule("all", 1, { key: [], mode: "shadow" })],
  });
  const first = await consumeRulesUpTo(rules, { ...request, cost: 5 });
  expect(first).toMatchObject({ allowed: true, granted: 3, rule: "team", remaining: 0 });
  expect([await left("user"), await left("team")]).toEqual([7, 0]);
  // What each says is left is what there is after the spare went back.
  expect(first.rules.slice(0, 2).map(({ decision }) => decision.remaining)).toEqual([7, 0]);
  expect(rulesFields(first)).toContainEqual(["RateLimit", '"user";r=7;t=360, "team";r=0;t=1200']);
  const second = await consumeRulesUpTo(rules, { ...request, cost: 5 });
  expect(second).toMatchObject({ allowed: false, granted: 0, reason: "quota" });
  expect(await left("user")).toBe(7);
  for (const cost of [0, 1.5, -1, Number.NaN]) {
    await expect(consumeRulesUpTo(rules, { ...request, cost })).rejects.toThrow("cost");
  }
});

test("grants all where nothing enforces, and nothing where an override denies", async () => {
  const shadow = made({ rules: [rule("user", 1, { mode: "shadow" })] });
  expect(await consumeRulesUpTo(shadow.rules, { ...request, cost: 5 })).toMatchObject({
    allowed: true,
    granted: 5,
  });
  const overrides = [{ rule: "user", key: "user=ann", mode: "deny" }] as const;
  const { rules } = made({ rules: [rule("user", 9)], overrides });
  expect(await consumeRulesUpTo(rules, { ...request, cost: 5 })).toMatchObject({
    allowed: false,
    granted: 0,
    reason: "blocked",
  });
});

test("gives back to rules on trial what they took beyond the grant, and no more", async () => {
  const policy = (limit: number) => ({ algorithm: "token-bucket", limit, period: "1h" }) as const;
  const shadow = (name: string, limit: number): PolicyRule =>
    rule(name, limit, { key: [], mode: "shadow" });
  const { rules, left } = made({
    rules: [
      rule("user", 10, { candidate: { policy: policy(1) } }),
      rule("team", 3, { candidate: { policy: policy(9) } }),
      shadow("least", 1),
      shadow("some", 4),
      shadow("most", 10),
      rule("none", 1, { key: [], rollout: { percent: 0 } }),
    ],
    overrides: [{ rule: "most", key: "all", policy: { limit: 20 } }],
  });
  const { granted } = await consumeRulesUpTo(rules, { ...request, cost: 5 });
  expect(granted).toBe(3);
  const names = ["user", "team", "least", "some", "most", "none"];
  expect(await Promise.all(names.map(left))).toEqual([7, 0, 0, 1, 17, 0]);
  const besides = (await rules.peek({ ...request, cost: 0 })).rules.flatMap(
    ({ decision }) => decision.shadow ?? [],
  );
  expect(besides.map(({ remaining }) => remaining)).toEqual([0, 6]);
});

test("a penalty goes into debt, of every rule", async () => {
  const { rules, left } = made({ rules: [rule("user", 2), rule("team", 10)] });
  expect(await penalizeRules(rules, { ...request, cost: 5 })).toMatchObject({ remaining: 0 });
  expect([await left("user"), await left("team")]).toEqual([0, 5]);
  expect((await rules.consume(request)).retryAfterMs).toBe(2 * 3600e3);
});

test("a penalty charges nothing to a key that is exempt, and what one costs that denies", async () => {
  const document = { rules: [rule("user", 2), rule("team", 10)] };
  const { rules, left } = made({
    ...document,
    overrides: [
      { rule: "user", key: "user=ann", mode: "exempt" },
      { rule: "team", key: "team=blue", mode: "deny" },
    ],
  });
  const { rules: decided } = await penalizeRules(rules, { ...request, cost: 5 });
  expect(decided[0]?.decision).toMatchObject({ source: "override", remaining: 2 });
  rules.replace(document);
  expect([await left("user"), await left("team")]).toEqual([2, 5]);
});

test("reserves the latest start of all, and a ticket gives it back from elsewhere", async () => {
  const store = new MemoryStore({ clock: new ManualClock() });
  const document = { rules: [rule("user", 1), rule("team", 60)] };
  const { rules, left } = made(document, store);
  const now = await reserveRules(rules, request);
  expect(now).toMatchObject({ allowed: true, delayMs: 0 });
  const start = await reserveRules(rules, request, { maxWait: "1h" });
  expect(start).toMatchObject({ allowed: true, delayMs: 3600e3 });
  expect(await left("team")).toBe(58);
  expect(await reserveRules(rules, request, { maxWait: "1h" })).toMatchObject({
    allowed: false,
    reason: "quota",
    retryAfterMs: 2 * 3600e3,
  });
  // The refusal of one took nothing of the other.
  expect(await left("team")).toBe(58);
  if (!start.allowed) throw new Error("it was promised");
  const elsewhere = made(document, store);
  expect(await cancelReserved(elsewhere.rules, start.ticket)).toBe(true);
  expect(await left("team")).toBe(59);
  expect(await reserveRules(rules, request, { maxWait: "1h" })).toMatchObject({ delayMs: 3600e3 });
});

test("a rule in shadow delays no start", async () => {
  const { rules } = made({ rules: [rule("user", 60), rule("team", 1, { mode: "shadow" })] });
  const starts = [await reserveRules(rules, request), await reserveRules(rules, request)];
  expect(starts).toMatchObject([
    { allowed: true, delayMs: 0 },
    { allowed: true, delayMs: 0 },
  ]);
});

test("a start that is given back from elsewhere gives back to candidates that had taken it", async () => {
  const store = new MemoryStore({ clock: new ManualClock() });
  const candidate = (limit: number) =>
    ({ policy: { algorithm: "token-bucket", limit, period: "1h" } }) as const;
  const document = {
    rules: [
      rule("user", 1, { candidate: candidate(9) }),
      rule("team", 60, { candidate: candidate(3) }),
    ],
  };
  const { rules } = made(document, store);
  const beside = async (): Promise<readonly unknown[]> =>
    (await rules.peek({ ...request, cost: 0 })).rules.map(
      ({ decision }) => decision.shadow?.[0]?.remaining,
    );
  await rules.consume({ ...request, cost: 1 });
  await rules.consume({ entries: { team: "blue" }, cost: 2 });
  expect(await beside()).toEqual([8, 0]);
  const start = await reserveRules(rules, request, { maxWait: "1h" });
  expect(await beside()).toEqual([7, 0]);
  if (!start.allowed) throw new Error("it was promised");
  expect(await cancelReserved(made(document, store).rules, start.ticket)).toBe(true);
  expect(await beside()).toEqual([8, 0]);
});

test("starts that were at once come back too while the last one is ahead", async () => {
  const clock = new ManualClock();
  const document = { rules: [rule("user", 10), rule("team", 4)] };
  const { rules, left } = made(document, new MemoryStore({ clock }));
  await rules.consume({ ...request, cost: 4 });
  const start = await reserveRules(rules, request, { maxWait: "1h" });
  clock.advance(1000);
  expect(await reserveRules(rules, request, { maxWait: "10s" })).toMatchObject({ allowed: false });
  if (!start.allowed) throw new Error("it was promised");
  expect(await left("user")).toBe(5);
  expect(await cancelReserved(rules, start.ticket)).toBe(true);
  expect(await left("user")).toBe(6);
  const next = await reserveRules(rules, request, { maxWait: "1h" });
  clock.advance(3600e3);
  const before = await left("team");
  if (!next.allowed) throw new Error("it was promised");
  expect(await cancelReserved(rules, next.ticket)).toBe(false);
  expect(await left("team")).toBe(before);
});

test("nothing but a ticket is taken for one", async () => {
  const { rules, left } = made({ rules: [rule("user", 10)] });
  await rules.consume({ ...request, cost: 5 });
  const receipt = { readyAtUs: 1, delayUs: 0, openedUs: 0, sold: 0, charges: [] };
  const forge = (value: unknown): string =>
    Buffer.from(JSON.stringify(value)).toString("base64url");
  const forged = [
    null,
    {},
    { request },
    { request, receipts: { user: receipt } },
    { request, receipts: { user: { ...receipt, charges: [{ extra: -1, endedUs: 0 }] } } },
    { request, receipts: { user: { ...receipt, charges: [{ extra: "1", endedUs: 0 }] } } },
    { request, receipts: { user: { ...receipt, sold: 1.5, charges: [{ extra: 0, endedUs: 0 }] } } },
    { request: null, receipts: {}, beside: [] },
    { request, receipts: {} },
  ].map(forge);
  for (const ticket of [...forged, "", "?", "a".repeat(70_000), 7 as never]) {
    await expect(cancelReserved(rules, ticket)).rejects.toThrow("ticket");
  }
  expect(await left("user")).toBe(5);
  expect(await cancelReserved(rules, forge({ request, receipts: {}, beside: [] }))).toBe(false);
});

test("what has one nonce is given back once, for each rule and key", async () => {
  const clock = new ManualClock();
  const { rules, left } = made({ rules: [rule("user", 10)] }, new MemoryStore({ clock }));
  await rules.consume({ ...request, cost: 8 });
  const back = (nonce?: string, entries = request.entries) =>
    rules.giveBack({ entries, cost: 2, nonce });
  expect((await back("n-1"))[0]).toMatchObject({ refunded: 2, remaining: 4 });
  expect((await back("n-1"))[0]).toMatchObject({ refunded: 0, remaining: 4 });
  expect((await back("n-2"))[0]).toMatchObject({ refunded: 2, remaining: 6 });
  await rules.consume({ entries: { user: "ben" }, cost: 2 });
  expect((await back("n-1", { user: "ben", team: "red" }))[0]).toMatchObject({ refunded: 2 });
  clock.advance(60_001);
  expect((await back("n-1"))[0]?.refunded).toBe(2);
  await back();
  await back();
  expect(await left("user")).toBe(10);
  await expect(back("")).rejects.toThrow("nonce");
  await expect(back("a b")).rejects.toThrow("nonce");
});

test("these verbs take a PolicySet", async () => {
  for (const set of [undefined, {}, null]) {
    await expect(penalizeRules(set as never, request)).rejects.toThrow("a PolicySet");
  }
});

/** Rules decide together, by a document that changes; the answer says which rule, override and version. */
import { expect, onTestFinished, test } from "vitest";
import type { RulesChanged } from "../events/rule-events.js";
import { ManualClock } from "../testing/manual-clock.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import type { PoliciesDocument, PolicyRule } from "./document.js";
import { PolicySet } from "./policy-set.js";
import type { PolicySetOptions } from "./policy-set-options.js";
import { rulesFields } from "./rules-fields.js";

const bucket = (limit: number): PolicyRule["policy"] => {
  return { algorithm: "token-bucket", limit, period: "1h" };
};

const user = (limit: number, more: Partial<PolicyRule> = {}): PolicyRule => {
  return { name: "user", key: ["user"], policy: bucket(limit), ...more };
};

const team = (limit: number, more: Partial<PolicyRule> = {}): PolicyRule => {
  return { name: "team", key: ["team"], policy: bucket(limit), ...more };
};

const ann = { entries: { user: "ann", team: "blue" } };

interface Made {
  readonly rules: PolicySet;
  readonly clock: ManualClock;
}

function made(document: PoliciesDocument, options: Partial<PolicySetOptions> = {}): Made {
  const clock = new ManualClock();
  const rules = new PolicySet({ store: new MemoryStore({ clock }), ...options, source: document });
  onTestFinished(() => rules.close());
  return { rules, clock };
}

async function consumed(rules: PolicySet, calls: number, request = ann): Promise<number> {
  let allowed = 0;
  for (let i = 0; i < calls; i++) allowed += Number((await rules.consume(request)).allowed);
  return allowed;
}

test("a request that meets no rule passes", async () => {
  const { rules } = made({ rules: [user(1)] });
  const decision = await rules.consume({ entries: { address: "192.0.2.7" } });
  expect(decision).toMatchObject({ allowed: true, reason: "ok", remaining: Infinity, rules: [] });
  expect(rules.stats().allowed).toBe(0);
});

test("one rule decides by its own policy, and the answer names it and the version", async () => {
  const { rules } = made({ version: 7, rules: [user(2)] });
  expect(await rules.consume(ann)).toMatchObject({ allowed: true, remaining: 1, rule: "user" });
  await rules.consume(ann);
  const decision = await rules.consume(ann);
  expect(decision).toMatchObject({
    allowed: false,
    reason: "quota",
    policy: "user",
    rule: "user",
    version: 7,
    atomic: true,
    source: "store",
  });
  expect(decision.rules).toMatchObject([
    { rule: "user", mode: "enforce", decision: { allowed: false } },
  ]);
  expect(await consumed(rules, 3, { entries: { user: "ben", team: "blue" } })).toBe(2);
});

test("several rules take all or nothing, whatever their keys", async () => {
  const { rules } = made({ rules: [user(10), team(3)] });
  expect(await consumed(rules, 5)).toBe(3);
  const decision = await rules.consume(ann);
  expect(decision).toMatchObject({ allowed: false, rule: "team" });
  expect(decision.rules.map(({ rule }) => rule)).toEqual(["user", "team"]);
  // What the team denied, the user was not charged.
  expect((await rules.peek(ann)).rules[0]?.decision.remaining).toBe(7);
});

test("the rule with least left decides, and on a denial the one with the longest wait", async () => {
  const slow = team(2, { policy: { algorithm: "token-bucket", limit: 2, period: "1d" } });
  const { rules } = made({ rules: [user(2), slow] });
  expect((await rules.consume(ann)).remaining).toBe(1);
  await rules.consume(ann);
  expect(await rules.consume(ann)).toMatchObject({ allowed: false, rule: "team" });
});

test("of rules with as much left the document's first one decides", async () => {
  for (const rules of [
    [user(3), team(3)],
    [team(3), user(3)],
  ]) {
    expect((await made({ rules }).rules.consume(ann)).rule).toBe(rules[0]?.name);
  }
});

test("no two users have one key, whatever characters a store refuses", async () => {
  const { rules } = made({ rules: [user(1)] });
  const names = ["a{", "a}", "a\0", "a", "a%7B", "a%257B"];
  for (const name of names) {
    expect(await consumed(rules, 2, { entries: { user: name, team: "blue" } })).toBe(1);
  }
});

test("costs are the rule's, an entry's or the request's", async () => {
  const { rules } = made({
    rules: [
      user(100, { cost: 7 }),
      team(100, { cost: { from: "tokens", default: 2 } }),
      { name: "all", policy: bucket(100) },
    ],
  });
  const entries = { user: "ann", team: "blue", tokens: 30 };
  const left = async (request: Parameters<typeof rules.consume>[0]): Promise<number[]> =>
    (await rules.consume(request)).rules.map(({ decision }) => decision.remaining);
  expect(await left({ entries, cost: 5 })).toEqual([93, 70, 95]);
  expect(await left(ann)).toEqual([86, 68, 94]);
});

test("a rule in shadow counts and denies nothing", async () => {
  const { rules } = made({ rules: [user(10), team(1, { mode: "shadow" })] });
  expect(await consumed(rules, 4)).toBe(4);
  const decision = await rules.consume(ann);
  expect(decision).toMatchObject({ allowed: true, rule: "user", remaining: 5 });
  expect(decision.rules[1]).toMatchObject({
    mode: "shadow",
    decision: { allowed: true, reason: "quota" },
  });
  expect(rules.stats().shadowDenied).toBe(4);
});

test("a candidate is decided and counted beside its rule, under a name of its own", async () => {
  const { rules } = made({ rules: [user(5, { candidate: { policy: bucket(2) } })] });
  expect(await consumed(rules, 6)).toBe(5);
  const decision = await rules.consume(ann);
  expect(decision.shadow).toMatchObject([{ policy: "user.candidate", allowed: false, limit: 2 }]);
  const beside = rules.stats().shadows.filter(({ outcome }) => outcome === "shadow-denied");
  expect(beside).toMatchObject([{ policy: "user.candidate", reason: "quota", count: 5 }]);
});

test("a candidate is asked about what its rule denies, and about several rules together", async () => {
  const { rules } = made({
    rules: [user(1, { candidate: { policy: bucket(3) } }), team(10)],
  });
  expect(await consumed(rules, 5)).toBe(1);
  const [first] = (await rules.consume(ann)).rules;
  expect(first?.decision.shadow).toMatchObject([{ policy: "user.candidate", allowed: false }]);
});

test("a rollout enforces a part of the keys, and shadows the others", async () => {
  const { rules } = made({ rules: [user(1, { rollout: { percent: 40 } })] });
  const modes = new Map<string, number>();
  for (let i = 0; i < 300; i++) {
    const request = { entries: { user: `u${i}` } };
    await rules.consume(request);
    const { allowed, rules: verdicts } = await rules.consume(request);
    const mode = verdicts[0]?.mode ?? "";
    expect(allowed).toBe(mode === "shadow");
    modes.set(mode, (modes.get(mode) ?? 0) + 1);
  }
  expect(modes.get("enforce")).toBeGreaterThan(80);
  expect(modes.get("shadow")).toBeGreaterThan(120);
});

test("overrides change a limit, deny and exempt; the answer names them", async () => {
  const { rules, clock } = made({
    rules: [user(1), team(100)],
    overrides: [
      { rule: "user", key: "user=big", policy: { limit: 3 } },
      { rule: "user", key: "user=evil", mode: "deny" },
      { rule: "user", key: "user=free", mode: "exempt" },
      { rule: "user", key: "user=soon", mode: "deny", until: "1970-01-01T00:00:10Z" },
    ],
  });
  const as = (name: string) => ({ entries: { user: name, team: "blue" } });
  expect(await consumed(rules, 5, as("big"))).toBe(3);
  const evil = await rules.consume(as("evil"));
  expect(evil).toMatchObject({
    allowed: false,
    reason: "blocked",
    source: "override",
    rule: "user",
  });
  expect(evil.override).toMatch(/^\S{12}$/);
  expect(await consumed(rules, 5, as("free"))).toBe(5);
  // What an override denied was charged to no rule: 3 of big and 5 of free.
  expect((await rules.peek(as("x"))).rules[1]?.decision.remaining).toBe(92);
  clock.set(1_000_000);
  expect((await rules.consume(as("soon"))).allowed).toBe(false);
  clock.set(11_000_000);
  expect((await rules.consume(as("soon"))).allowed).toBe(true);
});

test("an entry that is missing skips the rule, or is denied where the rule says so", async () => {
  const { rules } = made({ rules: [user(1), team(1, { onMissing: "deny" })] });
  const decision = await rules.consume({ entries: { user: "ann" } });
  expect(decision).toMatchObject({ allowed: false, rule: "team", source: "rules" });
  expect(decision.override).toBeUndefined();
  expect(await rules.consume({ entries: {} })).toMatchObject({
    reason: "blocked",
    source: "rules",
  });
  expect((await rules.consume({ entries: { team: "blue" } })).allowed).toBe(true);
});

test("a plan puts its limits over the rules'", async () => {
  const { rules } = made({
    plans: { pro: { user: { limit: 4 } }, none: {} },
    rules: [user(2)],
  });
  expect(await consumed(rules, 5, { entries: { user: "a", team: "" } })).toBe(2);
  const pro = { entries: { user: "b" }, plan: "pro" };
  let allowed = 0;
  for (let i = 0; i < 6; i++) allowed += Number((await rules.consume(pro)).allowed);
  expect(allowed).toBe(4);
});

test("a refund gives back what every rule took, candidates included", async () => {
  const { rules } = made({
    rules: [user(10, { candidate: { policy: bucket(8) } }), team(10, { cost: 3 })],
  });
  const decision = await rules.consume({ ...ann, cost: 2 });
  const refunds = await rules.refund(decision);
  expect(refunds.map(({ refunded }) => refunded)).toEqual([2, 3]);
  const now = await rules.peek(ann);
  expect(now.rules.map(({ decision: { remaining } }) => remaining)).toEqual([10, 10]);
  expect(now.rules[0]?.decision.shadow?.[0]?.remaining).toBe(8);
});

test("a denial took nothing, so its refund gives nothing", async () => {
  const { rules } = made({ rules: [user(1), team(5)] });
  await rules.consume(ann);
  const denied = await rules.consume(ann);
  expect(await rules.refund(denied)).toEqual([]);
  expect((await rules.peek({ entries: { team: "blue" } })).remaining).toBe(4);
});

test("a settlement takes or gives what the request cost after all, by the document that decided", async () => {
  const { rules } = made({
    rules: [
      user(100),
      team(100, { cost: 5 }),
      { ...user(100, { cost: { from: "tokens" } }), name: "tokens" },
    ],
  });
  const entries = { ...ann.entries, tokens: 10 };
  const decision = await rules.consume({ entries, cost: 20 });
  rules.replace({ rules: [user(100)] });
  await rules.settle(decision, { cost: 4, entries: { tokens: 25 } });
  rules.replace({ rules: [user(100), team(100), { ...user(100), name: "tokens" }] });
  const left = (await rules.peek({ entries })).rules.map((rule) => rule.decision.remaining);
  expect(left).toEqual([96, 95, 75]);
});

test("only the object that consume answered can be given back", async () => {
  const { rules } = made({ rules: [user(1)] });
  const decision = await rules.consume(ann);
  await expect(rules.refund({ ...decision })).rejects.toThrow(/^decision: .* no copy$/);
});

test("explain says which rules are met and what each would answer, and counts nothing", async () => {
  const { rules } = made({
    rules: [
      user(2),
      team(5, { match: { path: "/v1/*" } }),
      { name: "off", policy: bucket(1), mode: "off" },
    ],
    overrides: [{ rule: "user", key: "user=ann", policy: { limit: 9 } }],
  });
  const told = await rules.explain({ entries: { ...ann.entries, path: "/v2" } });
  expect(told.rules.map(({ rule, match }) => [rule, match !== undefined])).toEqual([
    ["user", true],
    ["team", false],
    ["off", false],
  ]);
  const [first, second] = told.rules;
  expect(first?.match?.override?.kind).toBe("policy");
  expect(first?.decision).toMatchObject({ allowed: true, remaining: 9 });
  expect(second?.unmet).toEqual([{ entry: "path", allowed: ["/v1/*"], isAbsent: false }]);
  expect(told.decision.allowed).toBe(true);
  const { decisions, shadows } = rules.stats();
  expect([...decisions, ...shadows].filter(({ count }) => count > 0)).toEqual([]);
  expect((await rules.peek(ann)).remaining).toBe(9);
});

test("what is explained is all of one moment, though the switch is thrown meanwhile", async () => {
  const { rules } = made({ rules: [user(2)] });
  const telling = rules.explain(ann);
  rules.setMode("shadow");
  const { switchedTo, rules: told } = await telling;
  expect([switchedTo, told[0]?.mode]).toEqual(["enforce", "enforce"]);
});

test("another document is in force at once, and units in use stay", async () => {
  const { rules } = made({ version: 1, rules: [user(10)] });
  const changes: RulesChanged[] = [];
  rules.events.on("rules", (event) => changes.push(event));
  expect(await consumed(rules, 4)).toBe(4);
  rules.replace({ version: 2, rules: [user(5), team(9)] }, { by: "ana", comment: "halve" });
  const decision = await rules.consume(ann);
  expect(decision).toMatchObject({ allowed: true, version: 2, rule: "user", remaining: 0 });
  expect(changes).toMatchObject([
    { set: "sluice", before: 1, after: 2, by: "ana", comment: "halve", atUs: decision.decidedAtUs },
  ]);
  expect(
    changes[0]?.changes.map(({ part, name, before }) => [part, name, before === undefined]),
  ).toEqual([
    ["rule", "user", false],
    ["rule", "team", true],
  ]);
});

test("an invalid document changes nothing", async () => {
  const { rules } = made({ version: 1, rules: [user(1)] });
  const bad = { rules: [{ ...user(1), policy: { algorithm: "token-bucket" } }] };
  expect(() => rules.replace(bad as unknown as PoliciesDocument)).toThrow(
    /rules\[0\]\.policy\.limit/,
  );
  expect(rules.version).toBe(1);
  expect(await consumed(rules, 2)).toBe(1);
});

test("the switch of a process needs nobody: shadow lets pass, off asks nobody, and it is an event", async () => {
  const { rules } = made({ rules: [user(1)], mode: "enforce" });
  const changes: RulesChanged[] = [];
  rules.events.on("rules", (event) => changes.push(event));
  rules.setMode("shadow", { by: "ben" });
  expect(await consumed(rules, 3)).toBe(3);
  expect(rules.stats().shadowDenied).toBe(2);
  rules.setMode("off");
  expect((await rules.consume(ann)).rules).toEqual([]);
  rules.setMode(undefined);
  expect(await consumed(rules, 3)).toBe(0);
  expect(changes.map(({ by, changes: [change] }) => [by, change?.before, change?.after])).toEqual([
    ["ben", "enforce", "shadow"],
    [undefined, "shadow", "off"],
    [undefined, "off", "enforce"],
  ]);
  expect(rules.status().mode).toBe("enforce");
});

test("the weaker of the document's switch and the process's counts", async () => {
  const { rules } = made({ rules: [user(1)], mode: "off" });
  rules.setMode("shadow");
  expect(rules.status().mode).toBe("off");
  expect((await rules.consume(ann)).rules).toEqual([]);
});

test("the environment throws the switch, and a slip in it is refused", async () => {
  process.env["SLUICE_MODE"] = "shadow";
  onTestFinished(() => void delete process.env["SLUICE_MODE"]);
  const { rules } = made({ rules: [user(1)] });
  expect(await consumed(rules, 3)).toBe(3);
  process.env["SLUICE_MODE"] = "shdaow";
  expect(() => made({ rules: [user(1)] })).toThrow(/SLUICE_MODE.*did you mean "shadow"/);
});

test("what a store away comes to is the document's to say", async () => {
  const { rules } = made({ rules: [user(1)], defaults: { onStoreFailure: "closed" } });
  expect(rules.limiters).toHaveLength(2);
  await rules.consume(ann);
  rules.replace({ rules: [user(1)], defaults: { onStoreFailure: "open" } });
  await rules.consume(ann);
  const { allowed, denied } = rules.stats();
  expect([allowed, denied]).toEqual([1, 1]);
});

test("a set that is closed decides nothing more", async () => {
  const { rules } = made({ rules: [user(1)] });
  const decision = await rules.consume(ann);
  await rules.close();
  await expect(rules.consume(ann)).rejects.toThrow("the policy set is closed");
  await expect(rules.refund(decision)).rejects.toThrow("the policy set is closed");
  expect(() => rules.replace({ rules: [] })).toThrow("the policy set is closed");
});

test("more rules come and go than a limiter may have names", async () => {
  const { rules } = made({ rules: [] });
  for (let i = 0; i < 1100; i++) {
    rules.replace({ rules: [{ ...user(1), name: `r${i}` }] });
    expect((await rules.consume(ann)).rule).toBe(`r${i}`);
  }
});

test("one rule is asked by its name, whatever it matches, with plan and override", async () => {
  const { rules } = made({
    plans: { pro: { user: { limit: 50 } } },
    rules: [user(2, { match: { path: "/never" } }), team(1)],
    overrides: [
      { rule: "user", key: "user=acme", policy: { limit: 9 } },
      { rule: "user", key: "user=evil", mode: "deny" },
    ],
  });
  const asked = (name: string, plan?: string) =>
    rules.consume({ rule: "user", entries: { user: name }, plan });
  expect(await asked("ann")).toMatchObject({ allowed: true, remaining: 1, rule: "user" });
  expect((await asked("ann")).rules).toHaveLength(1);
  expect(await asked("ann")).toMatchObject({ allowed: false, reason: "quota" });
  expect(await asked("zoe", "pro")).toMatchObject({ limit: 50 });
  expect(await asked("acme")).toMatchObject({ limit: 9 });
  expect(await asked("evil")).toMatchObject({ allowed: false, reason: "blocked" });
  const { rules: told } = await rules.explain({ rule: "user", entries: { user: "ann" } });
  expect(told).toMatchObject([{ rule: "user", unmet: [], decision: { allowed: false } }]);
});

test("a rule that is asked by its name must be there, and have its key", async () => {
  const { rules } = made({ rules: [user(2), team(1, { onMissing: "deny" })] });
  await expect(rules.consume({ rule: "users", entries: {} })).rejects.toThrow(
    'expected the name of a rule of the document; did you mean "user"?',
  );
  await expect(rules.consume({ rule: "user", entries: { team: "a" } })).rejects.toThrow(
    'expected the entries of the key of rule user: "user"',
  );
  expect(await rules.consume({ rule: "team", entries: {} })).toMatchObject({ allowed: false });
  await expect(rules.explain({ rule: "user", entries: {} })).rejects.toThrow("of rule user");
  rules.setMode("off");
  expect(await rules.consume({ rule: "user", entries: {} })).toMatchObject({ rules: [] });
});

test("fields state the rules that enforce, and when to come back", async () => {
  const { rules } = made({ rules: [user(1), team(5, { mode: "shadow" })] });
  expect(rulesFields(await rules.consume(ann))).toEqual([
    ["RateLimit-Policy", '"user";q=1;w=3600'],
    ["RateLimit", '"user";r=0;t=3600'],
  ]);
  expect(rulesFields(await rules.consume(ann)).at(-1)).toEqual(["Retry-After", "3600"]);
  const decision = await rules.consume(ann);
  expect(() => rulesFields({ ...decision })).toThrow("the decision of a PolicySet");
});

test.each(["shadow", "off"] as const)(
  "the switch %s, of the process or the document, lets pass what an override denies and what has no entry",
  async (mode) => {
    const document: PoliciesDocument = {
      rules: [
        {
          name: "api",
          key: ["user"],
          onMissing: "deny",
          policy: { algorithm: "gcra", limit: 1, period: "1h" },
        },
      ],
      overrides: [{ rule: "api", key: "user=*", mode: "deny" }],
    };
    await using rules = new PolicySet({ source: document });
    const allowed = async (): Promise<unknown[]> => [
      (await rules.consume({ entries: { user: "ann" } })).allowed,
      (await rules.consume({ entries: {} })).allowed,
    ];
    expect(await allowed()).toEqual([false, false]);
    rules.setMode(mode);
    expect(await allowed()).toEqual([true, true]);
    rules.setMode(undefined);
    expect(await allowed()).toEqual([false, false]);
    rules.replace({ ...document, mode });
    expect(await allowed()).toEqual([true, true]);
  },
);

import { describe, expect, onTestFinished, test } from "vitest";
import { createGate } from "../http/index.js";
import { MemoryStore, RateLimiter, tokenBucket } from "../index.js";
import { RecentAttempts, type RecentAttemptsOptions } from "../log/index.js";
import {
  blockRuleKey,
  consumeRulesUpTo,
  penalizeRules,
  type PoliciesDocument,
  PolicySet,
  type PolicySetOptions,
  reserveRules,
  resetRuleKey,
  type RulesRequest,
  unblockRuleKey,
} from "../policies/index.js";
import { keyId } from "../audit/index.js";
import { ManualClock } from "../testing/manual-clock.js";
import { limitsOfDocument } from "./document-limits.js";
import { limitsOf } from "./limits.js";
import { type LoggedAttempts, readLoggedAttempts } from "./logged-attempts.js";
import { simulate, type SimulationReport } from "./simulate.js";
import { suggestLimits } from "./suggest.js";

const window = (limit: number) => ({ algorithm: "fixed-window", limit, window: "1h" }) as const;
const api = { name: "api", key: ["user"], policy: window(9) };

/** The given number of requests of each user to each path. */
function requests(
  calls: Readonly<Record<string, number>>,
  path = "/v1/items",
): readonly RulesRequest[] {
  return Object.entries(calls).flatMap(([user, count]) =>
    Array.from({ length: count }, () => ({ entries: { user, path } })),
  );
}

interface LogOptions {
  readonly clear?: RecentAttemptsOptions["clear"];
  readonly identity?: PolicySetOptions["identity"];
}

function setIn(
  document: PoliciesDocument,
  { clear, identity }: LogOptions = {},
): { rules: PolicySet; recent: RecentAttempts } {
  const rules = new PolicySet({ source: document, store: new MemoryStore(), identity });
  const recent = new RecentAttempts({ clear });
  recent.add(rules);
  onTestFinished(() => {
    recent.close();
    return rules.close();
  });
  return { rules, recent };
}

async function logged(
  asked: readonly RulesRequest[],
  options: LogOptions = {},
  document: PoliciesDocument = { rules: [api] },
): Promise<LoggedAttempts> {
  const { rules, recent } = setIn(document, options);
  for (const request of asked) await rules.consume(request);
  return readLoggedAttempts([recent.source()]);
}

async function simulated(
  log: LoggedAttempts,
  document: PoliciesDocument,
): Promise<SimulationReport & { readonly notes: readonly string[] }> {
  const limits = limitsOfDocument(document, log);
  return { ...(await simulate(log, { limits })), notes: limits.notes };
}

test.each<[string, object]>([
  ["a cost that is none", { cost: "x" }],
  ["a cost without end", { cost: Number.POSITIVE_INFINITY }],
  ["a negative cost", { cost: -1 }],
  ["a charge without end", { met: { api: Number.POSITIVE_INFINITY } }],
  ["a charge of no units", { met: { api: 0.0001 } }],
  ["a settlement of no units", { after: { cost: -1, met: {} } }],
  ["no settlement", { after: null }],
  ["a plan that is none", { plan: 5 }],
  ["a rule that is none", { rule: {} }],
  ["a slot that is none", { slot: true }],
  ["a policy that is none", { policy: { algorithm: "gcra" } }],
  ["entries that are none", { entries: { user: 5 } }],
])("a log of a request with %s is refused", async (_, wrong) => {
  const { rules, recent } = setIn({ rules: [api] });
  await rules.consume({ entries: { user: "ann" } });
  const { name, open } = recent.source();
  const spoiled = {
    name,
    async *open() {
      let lines = "";
      for await (const chunk of open()) {
        lines += typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk);
      }
      for (const line of lines.trimEnd().split("\n")) {
        const fields = JSON.parse(line) as { asked?: readonly object[] };
        const asked = fields.asked?.map((each) => ({ ...each, ...wrong }));
        // JSON has no numbers without end, but readers take 1e999 for one.
        const text = JSON.stringify(
          { ...fields, ...(asked && { asked }) },
          (_name, value: unknown) => (value === Number.POSITIVE_INFINITY ? "1e999" : value),
        );
        yield `${text.replaceAll('"1e999"', "1e999")}\n`;
      }
    },
  };
  await expect(readLoggedAttempts([spoiled])).rejects.toThrow(/"asked" is .* a list of requests/);
});

describe("a log of requests replays a document", () => {
  const calls = requests({ ann: 4, ben: 1 });

  test.each<[string, PoliciesDocument["rules"], number]>([
    ["with another match", [{ ...api, match: { user: "ben" }, policy: window(0) }], 1],
    [
      "with a match that excludes",
      [{ ...api, match: { user: { not: "ann" } }, policy: window(0) }],
      1,
    ],
    ["with other key parts", [{ ...api, key: ["path"], policy: window(2) }], 3],
    ["with one key for all", [{ ...api, key: [], policy: window(2) }], 3],
    ["with a new rule", [api, { ...api, name: "new", policy: window(1) }], 3],
    ["with a rule for exact entries", [{ ...api, exact: true, policy: window(0) }], 0],
    [
      "where an entry is asked for that is missing",
      [{ ...api, key: ["tenant"], onMissing: "deny" }],
      5,
    ],
  ])("%s", async (_, rules, newlyDenied) => {
    const { all, notes } = await simulated(await logged(calls), { rules });
    expect(all).toMatchObject({ attempts: 5, deniedBefore: 0, newlyDenied });
    expect(notes).toEqual([]);
  });

  test("with the rule that a request named, whatever its entries match, and no other", async () => {
    const asked = calls.map((each) => ({ ...each, rule: "api" }));
    const named = { ...api, match: { user: "nobody" }, policy: window(2) };
    const beside = { ...api, name: "beside", policy: window(0) };
    const { all, rules } = await simulated(await logged(asked), { rules: [named, beside] });
    // Of four of Ann two.
    expect(all).toMatchObject({ attempts: 5, newlyDenied: 2 });
    expect(rules.map(({ rule, attempts }) => [rule, attempts])).toEqual([["api", 5]]);
  });

  test("with other plans", async () => {
    const asked = [...calls, ...calls.map((each) => ({ ...each, plan: "free" }))];
    const plans = { free: { api: { limit: 1 } } };
    const { all } = await simulated(await logged(asked), { rules: [api], plans });
    // Of four of Ann and one of Ben at first, nothing is left in the plan.
    expect(all).toMatchObject({ attempts: 10, newlyDenied: 5 });
  });

  test("with two rules that decide together", async () => {
    const site = { ...api, name: "site", key: [], policy: window(3) };
    const rules = [{ ...api, policy: window(2) }, site];
    const { all, rules: byRule } = await simulated(await logged(calls), { rules });
    // Ann's third and fourth take nothing of the site, so Ben's first fits.
    expect(all).toMatchObject({ newlyDenied: 2, keysNewlyDenied: 1 });
    expect(byRule).toMatchObject([
      { rule: "api", deniedAfter: 2 },
      { rule: "site", deniedAfter: 0 },
    ]);
  });

  test("and names keys by the ids that logs have", async () => {
    const { keys } = await simulated(await logged(calls), {
      rules: [{ ...api, policy: window(1) }],
    });
    expect(keys).toMatchObject([{ limiter: "sluice", key: keyId("user=ann"), newlyDenied: 3 }]);
  });

  test("with what HTTP adapters asked", async () => {
    const { rules, recent } = setIn({
      rules: [{ ...api, match: { path: "/a" }, key: ["address"] }],
    });
    const gate = createGate<string>(rules);
    for (const path of ["/a", "/a", "/b"]) {
      await gate.enter(path, {
        method: "GET",
        path,
        address: "192.0.2.1",
        header: () => undefined,
      });
    }
    const log = await readLoggedAttempts([recent.source()]);
    const document = { rules: [{ ...api, key: ["address"], policy: window(1) }] };
    expect((await simulated(log, document)).all).toMatchObject({ attempts: 3, newlyDenied: 2 });
  });

  test("under the same policies for every key", async () => {
    const log = await logged(calls);
    const { all } = await simulate(log, {
      limits: limitsOf([{ ...api.policy, name: "api" } as never]),
    });
    expect(all).toMatchObject({ attempts: 5, newlyDenied: 0 });
  });

  test("and suggests limits of rules that it did not have", async () => {
    const log = await logged(calls);
    const rules = [{ ...api, name: "path", key: ["path"], policy: window(1) }];
    const limits = limitsOfDocument({ rules }, log);
    expect(await suggestLimits(log, { limits, percent: 100 })).toMatchObject([
      { rule: "path", keys: 1, keysTouchedNow: 1, policy: { limit: 5 } },
    ]);
  });
});

describe("what ids are too little for", () => {
  const asked = requests({ ann: 3 });
  const denying = { ...api, policy: window(0) };
  const star = { ...denying, match: { path: "/v1/*" } };
  const hidden = (entries: string, names = entries): string =>
    `the logs have ids of ${entries}; with clear: ${JSON.stringify(names.split(", "))} they can be read`;

  test.each<[string, PoliciesDocument, string, number]>([
    ["a star", { rules: [star] }, `rule api as it was: ${hidden("path")}`, 3],
    [
      "a star in a new rule",
      { rules: [api, { ...star, name: "new" }] },
      `rule new as it was: ${hidden("path")}`,
      0,
    ],
    [
      "an override with a star",
      { rules: [denying], overrides: [{ rule: "api", key: "user=a*", mode: "exempt" }] },
      `without the overrides of api that end with *: ${hidden("user")}`,
      3,
    ],
    [
      "a rollout",
      { rules: [{ ...denying, rollout: { percent: 0 } }] },
      "for all keys, as if the rollout of api were complete",
      3,
    ],
  ])("is said: %s", async (_, document, note, newlyDenied) => {
    const { all, notes } = await simulated(await logged(asked), document);
    expect(notes).toEqual([note]);
    expect(all).toMatchObject({ newlyDenied });
    const readable = await simulated(await logged(asked, { clear: ["user", "path"] }), document);
    expect(readable.notes).toEqual([]);
  });

  test("is said: a cost out of an entry, which stays as it was", async () => {
    const rules = [{ ...api, cost: { from: "tokens" } }];
    const tokens = [
      { entries: { user: "ann", tokens: 4 } },
      { entries: { user: "ann", tokens: 3 } },
    ];
    const changed = { rules: [{ ...api, cost: { from: "tokens" }, policy: window(6) }] };
    for (const clear of [undefined, ["tokens"]]) {
      const { all, notes } = await simulated(await logged(tokens, { clear }, { rules }), changed);
      expect(all).toMatchObject({ newlyDenied: 1 });
      expect(notes).toEqual(
        clear === undefined ? [`rule api with the costs that it had: ${hidden("tokens")}`] : [],
      );
    }
  });

  test("is any value", async () => {
    const { all, notes } = await simulated(await logged(asked), {
      rules: [{ ...denying, match: { path: "*" } }],
    });
    expect(all).toMatchObject({ newlyDenied: 3 });
    expect(notes).toEqual([]);
  });

  test("is every text, where ids are made with a secret", async () => {
    const identity = { hmacSecret: "0123456789abcdef" };
    const log = await logged(asked, { identity });
    const overrides = [{ rule: "api", key: "user=ann", mode: "exempt" as const }];
    const rules = [{ ...denying, match: { path: "/other" } }];
    const { all, notes } = await simulated(log, { rules, overrides });
    expect(all).toMatchObject({ newlyDenied: 3 });
    expect(notes).toEqual([
      `rule api as it was: ${hidden("path")}`,
      "without the overrides of api: ids were made with a secret",
    ]);
    const keyed = await simulated(log, { rules: [{ ...api, policy: window(2) }] });
    expect(keyed).toMatchObject({ all: { newlyDenied: 1 }, notes: [] });
  });
});

describe("what a replay does otherwise is counted", () => {
  const ann = { entries: { user: "ann" }, cost: 2 };
  const site = { ...api, name: "site", key: [] };

  /** A start and a part, then a reset, an unblock and a block. */
  async function asked(document: PoliciesDocument): Promise<LoggedAttempts> {
    const { rules, recent } = setIn(document);
    await rules.consume(ann);
    await consumeRulesUpTo(rules, ann);
    await reserveRules(rules, ann);
    const key = { rule: "api", entries: ann.entries };
    await blockRuleKey(rules, key, "1m");
    await unblockRuleKey(rules, key);
    await resetRuleKey(rules, key);
    return readLoggedAttempts([recent.source()]);
  }

  const candidate = { ...api, candidate: { policy: window(5) } };
  test.each<[string, PoliciesDocument["rules"], PoliciesDocument["rules"], number]>([
    ["of two rules when it was logged", [api, site], [api], 2],
    ["of two rules now", [api], [api, site], 2],
    ["not of one, though it has a candidate", [candidate], [candidate], 0],
  ])("parts and starts: %s", async (_, before, after, askedApart) => {
    const report = await simulated(await asked({ rules: before }), { rules: after });
    expect(report).toMatchObject({ askedApart, keysChanged: 2 });
  });

  test("of the limiter that is replayed", async () => {
    const log = await asked({ rules: [api] });
    const limits = limitsOfDocument({ rules: [api] }, log);
    expect(await simulate(log, { limits, limiter: "sluice" })).toMatchObject({ keysChanged: 2 });
  });

  test("not where keys are replayed, and their resets too", async () => {
    const policies = [{ ...window(7), name: "api" } as never];
    const report = await simulate(await asked({ rules: [api] }), { limits: limitsOf(policies) });
    expect(report).toMatchObject({ askedApart: 0, keysChanged: 0 });
  });
});

test("a start that is given back gives back its units alone", async () => {
  const clock = new ManualClock();
  const policy = tokenBucket({ name: "api", limit: 2, period: "1h" });
  const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
  const recent = new RecentAttempts();
  recent.add(limiter);
  onTestFinished(() => {
    recent.close();
    return limiter.close();
  });
  await limiter.consume("ann", { cost: 2 });
  const start = await limiter.reserve("ann");
  expect(start.allowed && (await start.cancel())).toBe(true);
  expect((await limiter.consume("ann", { cost: 2 })).allowed).toBe(false);
  const log = await readLoggedAttempts([recent.source()]);
  const limits = limitsOf([tokenBucket({ name: "api", limit: 3, period: "1h" })]);
  // Two of three are in use still.
  expect((await simulate(log, { limits })).all).toMatchObject({ attempts: 3, deniedAfter: 1 });
});

test("what an override refuses takes nothing, so nothing of it comes back, and a penalty stays", async () => {
  const clock = new ManualClock();
  const until = new Date(clock.nowUs() / 1e3 + 60_000).toISOString();
  const document = { rules: [{ ...api, policy: window(4) }] };
  const rules = new PolicySet({ source: document, store: new MemoryStore({ clock }) });
  const recent = new RecentAttempts();
  recent.add(rules);
  onTestFinished(() => {
    recent.close();
    return rules.close();
  });
  const ann = { entries: { user: "ann" }, cost: 2 };
  await penalizeRules(rules, ann);
  await rules.refund(await rules.consume(ann));
  clock.advance(60_000);
  expect((await rules.consume({ ...ann, cost: 4 })).allowed).toBe(false);
  const log = await readLoggedAttempts([recent.source()]);
  const overrides = [{ rule: "api", key: "user=ann", mode: "deny" as const, until }];
  const { all } = await simulated(log, { ...document, overrides });
  expect(all).toMatchObject({ attempts: 2, deniedAfter: 2, newlyDenied: 1, newlyAllowed: 0 });
});

test.each([true, undefined] as const)(
  "an override of another bucket shares the rule's state, entries clear: %s",
  async (clear) => {
    const clock = new ManualClock();
    const until = new Date(clock.nowUs() / 1e3 + 60_000).toISOString();
    const bucket = {
      ...api,
      policy: { algorithm: "token-bucket", limit: 4, period: "1h" },
    } as const;
    const policy = { algorithm: "gcra", limit: 4, burst: 4, period: "1h" } as const;
    const document = {
      rules: [bucket],
      overrides: [{ rule: "api", key: "user=ann", policy, until }],
    };
    const rules = new PolicySet({ source: document, store: new MemoryStore({ clock }) });
    const recent = new RecentAttempts({ clear });
    recent.add(rules);
    onTestFinished(() => {
      recent.close();
      return rules.close();
    });
    const allowed: boolean[] = [];
    for (let call = 0; call < 6; call++) {
      allowed.push((await rules.consume({ entries: { user: "ann" } })).allowed);
      if (call === 2) clock.advance(60_000);
    }
    expect(allowed).toEqual([true, true, true, true, false, false]);
    const log = await readLoggedAttempts([recent.source()]);
    const { all } = await simulated(log, document);
    expect(all).toMatchObject({ deniedAfter: 2, newlyDenied: 0, newlyAllowed: 0 });
  },
);

import { describe, expect, test } from "vitest";
import { type AttemptMade, attemptLog } from "../../test/audit/attempt-logs.js";
import { START_US } from "../../test/support/records.js";
import { keyId } from "../audit/index.js";
import { fixedWindow, type Policy } from "../index.js";
import { type PoliciesDocument, parsePolicies } from "../policies/index.js";
import { limitsOfDocument } from "./document-limits.js";
import { limitsOf } from "./limits.js";
import { type LoggedAttempts, readLoggedAttempts } from "./logged-attempts.js";
import { simulate, type SimulationReport } from "./simulate.js";
import { suggestLimits } from "./suggest.js";

const hourly = (limit: number, name = "api"): Policy => fixedWindow({ name, limit, window: "1h" });
const window = (limit: number): object => ({ algorithm: "fixed-window", limit, window: "1h" });
const AS_IT_WAS =
  "what rules match and what their keys are is as it was: logs have the entries of requests where a PolicySet is logged";
const api = { name: "api", key: ["user"], policy: window(2) };

/** The given number of attempts of each user, one after another. */
function users(calls: Readonly<Record<string, number>>): readonly AttemptMade[] {
  return Object.entries(calls).flatMap(([user, count]) =>
    Array.from({ length: count }, (_, i) => ({ atUs: i, key: keyId(`user=${user}`) })),
  );
}

function logged(
  attempts: readonly AttemptMade[],
  policies: readonly Policy[] = [hourly(9)],
): Promise<LoggedAttempts> {
  return readLoggedAttempts([attemptLog("s", [{ policies, attempts }])]);
}

function documentOf(content: object): PoliciesDocument {
  return parsePolicies(content).document;
}

async function simulated(
  content: object,
  attempts = users({ ann: 4, ben: 1 }),
  policies?: readonly Policy[],
): Promise<SimulationReport> {
  const log = await logged(attempts, policies);
  return simulate(log, { limits: limitsOfDocument(documentOf(content), log) });
}

describe("a rule of a document", () => {
  test("is for the attempts that a rule of its name decided", async () => {
    const policies = [hourly(9), hourly(9, "other")];
    const { all, rules } = await simulated({ rules: [api] }, undefined, policies);
    expect(all).toMatchObject({ attempts: 5, newlyDenied: 2 });
    expect(rules).toMatchObject([{ rule: "api", votes: true, attempts: 5, deniedAfter: 2 }]);
    const none = await simulated({ rules: [{ ...api, name: "new" }] });
    expect(none).toMatchObject({ all: { newlyDenied: 0 }, unlimited: 5, rules: [] });
  });

  test.each([
    ["shadow", { rules: [{ ...api, mode: "shadow" }] }, [{ votes: false, deniedAfter: 2 }]],
    ["shadow by the switch", { mode: "shadow", rules: [api] }, [{ votes: false, deniedAfter: 2 }]],
    ["off", { rules: [{ ...api, mode: "off" }] }, []],
    ["off by the switch", { mode: "off", rules: [api] }, []],
  ])("in mode %s denies nothing", async (_, content, rules) => {
    const report = await simulated(content);
    expect(report.all).toMatchObject({ newlyDenied: 0 });
    expect(report.rules).toMatchObject(rules);
  });

  test("has a candidate, counted beside", async () => {
    const { all, rules } = await simulated({
      rules: [{ ...api, candidate: { policy: window(1) } }],
    });
    expect(all).toMatchObject({ newlyDenied: 2 });
    expect(rules).toMatchObject([
      { rule: "api", votes: true, deniedAfter: 2 },
      { rule: "api.candidate", votes: false, deniedAfter: 3 },
    ]);
  });

  test("may have a cost of its own, or what the attempt asked for", async () => {
    expect((await simulated({ rules: [{ ...api, cost: 2 }] })).all).toMatchObject({
      newlyDenied: 3,
    });
    const cost = { from: "units" };
    expect((await simulated({ rules: [{ ...api, cost }] })).all).toMatchObject({ newlyDenied: 2 });
  });
});

describe("an override", () => {
  const rules = [api];
  const until = new Date(START_US / 1e3 + 60_000).toISOString();
  const minutes = (...times: readonly number[]): readonly AttemptMade[] =>
    times.map((minute) => ({ atUs: minute * 60e6, key: keyId("user=ann") }));

  test.each([
    ["another limit", { policy: { limit: 3 } }, 1],
    ["a deny", { mode: "deny" }, 4],
    ["an exemption", { mode: "exempt" }, 0],
  ])("gives a key %s", async (_, override, newlyDenied) => {
    const report = await simulated({
      rules,
      overrides: [{ rule: "api", key: "user=ann", ...override }],
    });
    expect(report.all).toMatchObject({ newlyDenied });
  });

  test("ends by the time of the log", async () => {
    const overrides = [{ rule: "api", key: "user=ann", mode: "deny", until }];
    const { all } = await simulated({ rules, overrides }, minutes(0, 0.999, 1, 2));
    expect(all).toMatchObject({ attempts: 4, newlyDenied: 2 });
  });

  test("of another rule or with a star is left out, and the latter is said", async () => {
    const other = { ...api, name: "other" };
    const overrides = [
      { rule: "other", key: "user=ann", mode: "exempt" },
      { rule: "api", key: "user=a*", mode: "exempt" },
    ];
    const log = await logged(users({ ann: 4 }), [hourly(9), hourly(9, "other")]);
    const limits = limitsOfDocument(documentOf({ rules: [api, other], overrides }), log);
    const report = await simulate(log, { limits });
    expect(report.rules).toMatchObject([{ rule: "api", deniedAfter: 2 }]);
    expect(limits.notes).toEqual([
      AS_IT_WAS,
      "without the overrides that end with *: logs hold the ids of keys",
    ]);
  });

  test("takes its key out of what a suggestion is for", async () => {
    const overrides = [{ rule: "api", key: "user=ann", policy: { limit: 30 } }];
    const log = await logged(users({ ann: 20, ben: 3, cid: 1 }));
    const limits = limitsOfDocument(documentOf({ rules, overrides }), log);
    expect(await suggestLimits(log, { limits, percent: 100 })).toMatchObject([
      { rule: "api", keys: 2, keysTouchedNow: 1, policy: { limit: 3 } },
    ]);
  });
});

test("two documents are compared with each other", async () => {
  const log = await logged(users({ ann: 4 }));
  const [limits, against] = [1, 3].map((limit) =>
    limitsOfDocument(documentOf({ rules: [{ ...api, policy: window(limit) }] }), log),
  );
  const report = await simulate(log, { limits: limits ?? limitsOf([]), against });
  expect(report.all).toMatchObject({ deniedBefore: 1, deniedAfter: 3, newlyDenied: 2 });
});

test("what a log cannot tell is said", async () => {
  const log = await logged(users({ ann: 1 }));
  const names = ["a", "b", "c", "d", "e", "f"].map((name) => ({ ...api, name }));
  const rules = [{ ...api, rollout: { percent: 25 } }, ...names];
  const plans = { pro: { api: { limit: 5 } } };
  expect(limitsOfDocument(documentOf({ rules, plans }), log).notes).toEqual([
    AS_IT_WAS,
    "the logs have no attempts of a, b, c, d, e and 1 more: a rule is known by its name",
    "for all keys, as if the rollout of api were complete",
    "without the plans: logs do not say which plan a call had",
  ]);
});

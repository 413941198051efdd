/** Decisions as JSON are what JSON.stringify writes of them. */
import { tokenBucket } from "sluice";
import { consumeRulesUpTo, type PoliciesDocument, PolicySet, penalizeRules } from "sluice/policies";
import { expect, onTestFinished, test } from "vitest";
import { decisionMembers, decisionsJson } from "./decision-json.js";

const policy = { algorithm: "token-bucket", limit: 2, period: "1h" } as const;
const byUser = { name: "api", key: ["user"], policy };

function setOf(document: PoliciesDocument): PolicySet {
  const rules = new PolicySet({ source: document });
  onTestFinished(() => rules.close());
  return rules;
}

const DOCUMENTS: Readonly<Record<string, PoliciesDocument>> = {
  "one rule": { rules: [byUser] },
  "a version that is a number": { version: 7, rules: [byUser] },
  "no rule": { rules: [{ ...byUser, match: { path: "/other" } }] },
  "two rules": { rules: [byUser, { ...byUser, name: "all", key: [] }] },
  "a shadow": { rules: [byUser, { ...byUser, name: "new", mode: "shadow" }] },
  "only a shadow": { rules: [{ ...byUser, mode: "shadow" }] },
  "a candidate": { rules: [{ ...byUser, candidate: { policy: { ...policy, limit: 1 } } }] },
  "what is not limited": { rules: [{ ...byUser, policy: { algorithm: "unlimited" } }] },
  "an override": { rules: [byUser], overrides: [{ rule: "api", key: "user=ann", mode: "deny" }] },
  "an exemption": {
    rules: [byUser],
    overrides: [{ rule: "api", key: "user=ann", mode: "exempt" }],
  },
  "a limit of its own": {
    rules: [byUser],
    overrides: [{ rule: "api", key: "user=ann", policy: { limit: 9 } }],
  },
};

test.each(Object.entries(DOCUMENTS))("%s", async (_, document) => {
  const rules = setOf(document);
  const request = { entries: { user: "ann" } };
  const told = [
    await rules.consume(request),
    await rules.consume(request),
    await rules.consume(request),
    await rules.consume({ ...request, cost: 5 }),
    await rules.peek(request),
    await penalizeRules(rules, request),
    await consumeRulesUpTo(rules, { ...request, cost: 1 }),
    await rules.consume({ ...request, policy: tokenBucket({ limit: 3, period: "1h" }) }),
  ];
  for (const decision of told) {
    const text = `{${decisionMembers(decision)}}`;
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(decision)));
  }
  const many = { allowed: false, decisions: told, atomic: true };
  expect(JSON.parse(decisionsJson(many))).toEqual(JSON.parse(JSON.stringify(many)));
});

test.each([
  0,
  0.5,
  999_999,
  1e6,
  1_000_001,
  1_795_785_234_523_492,
  1_795_785_234_000_000,
  1_795_785_234_999_999.5,
  2 ** 31 * 1e6 - 1,
  2 ** 31 * 1e6,
  Number.MAX_SAFE_INTEGER,
  1e300,
  -1_000_001,
  Number.POSITIVE_INFINITY,
])("the moment %d", async (decidedAtUs) => {
  const rules = setOf({ rules: [byUser] });
  const decision = await rules.consume({ entries: { user: "ann" } });
  const text = `{${decisionMembers({ ...decision, decidedAtUs })}}`;
  expect(text).toContain(`"decidedAtUs":${JSON.stringify(decidedAtUs)},`);
});

/** The published JSON Schema and the parser agree on what a document may be. */
import { readFileSync } from "node:fs";
import { Ajv } from "ajv";
import { expect, test } from "vitest";
import { InvalidPoliciesError, parsePolicies } from "./index.js";

const schema = JSON.parse(
  readFileSync(new URL("../../policies.schema.json", import.meta.url), "utf8"),
) as object;
const isOfSchema = new Ajv({ strict: true, strictRequired: false }).compile(schema);

const POLICY = { algorithm: "gcra", limit: 5, period: "1s" };
const RULE = { name: "api", policy: POLICY };

const rule = (more: object): object => ({ rules: [{ ...RULE, ...more }] });
const policy = (value: object): object => ({ rules: [{ name: "api", policy: value }] });
const override = (more: object): object => ({
  rules: [{ ...RULE, key: ["user"] }],
  overrides: [{ rule: "api", key: "user=a", ...more }],
});
const condition = (value: unknown): object => rule({ match: { path: value } });

const ACCEPTED: readonly (readonly [what: string, document: unknown])[] = [
  ["no rule", { rules: [] }],
  ["a rule", { rules: [RULE] }],
  ["its policy as a function of the library returns it", policy({ name: "gcra", ...POLICY })],
  ["an address of the schema", { $schema: "https://example.com/a.json", rules: [] }],
  ["a version", { version: 42, rules: [] }],
  ["a time", { activeFrom: "2026-12-01T00:00:00Z", rules: [] }],
  ["a time with an offset", { activeFrom: "2026-12-01T00:00+01:00", rules: [] }],
  ["a mode", { mode: "shadow", rules: [] }],
  ["defaults", { defaults: { onStoreFailure: "closed" }, rules: [] }],
  ["a plan", { plans: { free: { api: { limit: 1 } } }, rules: [RULE] }],
  ["a plan named __proto__", JSON.parse('{"plans":{"__proto__":{}},"rules":[]}')],
  ["a text", condition("/v1")],
  ["texts", condition(["/v1", "/v2/*"])],
  ["stars and backslashes", condition("\\*a*b\\\\")],
  ["eight stars", condition("********")],
  ["texts that it is and is not", condition({ is: "/v1/*", not: ["/v1/a"] })],
  ["exact", rule({ exact: true })],
  ["a key", rule({ key: ["user", "constructor"] })],
  ["onMissing", rule({ onMissing: "deny" })],
  ["a cost", rule({ cost: 0.5 })],
  ["a cost from an entry", rule({ cost: { from: "tokens", default: 3 } })],
  ["a rollout", rule({ rollout: { percent: 12.5 } })],
  ["a candidate", rule({ candidate: { policy: POLICY } })],
  ["allowOverride", rule({ allowOverride: false })],
  ["a comment", rule({ comment: "why" })],
  [
    "a token bucket",
    policy({ algorithm: "token-bucket", limit: 1, period: 1000, burst: 2, refill: "interval" }),
  ],
  ["a leaky bucket", policy({ algorithm: "leaky-bucket", limit: 1, period: "1h30m", capacity: 2 })],
  ["a fixed window", policy({ algorithm: "fixed-window", limit: 0, window: "1m", align: "first" })],
  [
    "a calendar window",
    policy({
      algorithm: "calendar-window",
      limit: 9,
      unit: "month",
      timeZone: "Europe/Berlin",
      weekStartsOn: "sunday",
    }),
  ],
  ["a sliding window", policy({ algorithm: "sliding-window", limit: 9, window: "1m" })],
  ["a sliding log", policy({ algorithm: "sliding-log", limit: 9, window: "1m" })],
  ["no limit", policy({ algorithm: "unlimited" })],
  ["an override", override({ policy: { limit: 9 } })],
  ["a deny", override({ mode: "deny", until: "2026-12-31T00:00:00.5Z", comment: "", by: "ana" })],
  ["an exemption of what begins alike", override({ key: "user=a*", mode: "exempt" })],
];

const REFUSED: readonly (readonly [what: string, document: unknown])[] = [
  ["a list", []],
  ["a text", "rules"],
  ["null", null],
  ["no rules", {}],
  ["rules that are no list", { rules: {} }],
  ["another field", { rules: [], rule: [] }],
  ["a field named __proto__", JSON.parse('{"rules":[],"__proto__":{}}')],
  ["version 0", { version: 0, rules: [] }],
  ["half a version", { version: 1.5, rules: [] }],
  ["a version as a text", { version: "1", rules: [] }],
  ["a day for a time", { activeFrom: "2026-12-01", rules: [] }],
  ["a time without a zone", { activeFrom: "2026-12-01T00:00:00", rules: [] }],
  ["another mode", { mode: "on", rules: [] }],
  ["another default", { defaults: { timeout: 5 }, rules: [] }],
  ["another onStoreFailure", { defaults: { onStoreFailure: "pass" }, rules: [] }],
  ["a plan that is no object", { plans: { free: 5 }, rules: [] }],
  ["an option that no policy has", { plans: { free: { nobody: { rate: 5 } } }, rules: [] }],
  ["a rule without a name", { rules: [{ policy: POLICY }] }],
  ["a rule without a policy", { rules: [{ name: "api" }] }],
  ["a name with a blank", rule({ name: "a b" })],
  ["a long name", rule({ name: "a".repeat(55) })],
  ["a candidate's name", rule({ name: "a.candidate" })],
  ["a number for a text", condition(5)],
  ["no text at all", condition([])],
  ["nine stars", condition("*********")],
  ["a backslash before a letter", condition("\\d")],
  ["a condition that says nothing", condition({})],
  ["a condition of another kind", condition({ matches: "a" })],
  ["a text longer than any path", condition("a".repeat(513))],
  [
    "seventeen entries",
    rule({ match: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`e${i}`, "a"])) }),
  ],
  ["a key that is no list", rule({ key: "user" })],
  ["nine entries of a key", rule({ key: Array.from({ length: 9 }, (_, i) => `e${i}`) })],
  ["another onMissing", rule({ onMissing: "pass" })],
  ["a negative cost", rule({ cost: -1 })],
  ["a cost from nowhere", rule({ cost: { default: 1 } })],
  ["more than 100 percent", rule({ rollout: { percent: 101 } })],
  ["a percentage alone", rule({ rollout: 25 })],
  ["a candidate without a policy", rule({ candidate: POLICY })],
  ["yes for true", rule({ allowOverride: "yes" })],
  ["an unknown algorithm", policy({ algorithm: "bucket", limit: 1, period: "1s" })],
  ["no algorithm", policy({ limit: 1, period: "1s" })],
  ["an option of another algorithm", policy({ ...POLICY, window: "1s" })],
  ["a limit as a text", policy({ ...POLICY, limit: "5" })],
  ["a month", policy({ ...POLICY, period: "1 month" })],
  ["a period of 0", policy({ ...POLICY, period: 0 })],
  ["a name of its own", policy({ ...POLICY, name: "mine" })],
  ["a vote of its own", policy({ ...POLICY, enforce: false })],
  [
    "a leaky bucket without a capacity",
    policy({ algorithm: "leaky-bucket", limit: 1, period: "1s" }),
  ],
  ["another unit", policy({ algorithm: "calendar-window", limit: 9, unit: "quarter" })],
  ["an override of nothing", override({})],
  ["an override of both", override({ policy: { limit: 1 }, mode: "deny" })],
  ["another override", override({ mode: "allow" })],
  ["until a day", override({ mode: "deny", until: "2026-12-31" })],
  ["an override without a key", { rules: [RULE], overrides: [{ rule: "api", mode: "deny" }] }],
];

/** What only the parser knows: what parts say of each other, calendars, zones. */
const REFUSED_BY_THE_PARSER: readonly (readonly [what: string, document: unknown])[] = [
  ["two rules of one name", { rules: [RULE, RULE] }],
  [
    "two overrides of one key",
    {
      ...override({}),
      overrides: [1, 2].map(() => ({ rule: "api", key: "user=a", mode: "deny" })),
    },
  ],
  ["a star inside a key", override({ key: "user=a*b", mode: "deny" })],
  ["a lone percent sign", override({ key: "user=50%", mode: "deny" })],
  ["an option that the rule's algorithm lacks", override({ policy: { window: "1s" } })],
  [
    "a plan's change that the rule's algorithm lacks",
    { plans: { free: { api: { unit: "day" } } }, rules: [RULE] },
  ],
  [
    "a change that the candidate cannot bear",
    {
      plans: { a: { api: { burst: 5 } } },
      rules: [
        { ...RULE, candidate: { policy: { algorithm: "sliding-log", limit: 1, window: "1s" } } },
      ],
    },
  ],
  ["30 February", { activeFrom: "2026-02-30T00:00:00Z", rules: [] }],
  [
    "a zone that does not exist",
    policy({ algorithm: "calendar-window", limit: 9, unit: "day", timeZone: "Mars" }),
  ],
  ["a period of two years", policy({ ...POLICY, period: "800d" })],
  ["less than a thousandth", policy({ ...POLICY, limit: 0.0001 })],
];

function isAccepted(document: unknown): boolean {
  try {
    parsePolicies(document);
    return true;
  } catch (error) {
    if (error instanceof InvalidPoliciesError) return false;
    throw error;
  }
}

test.each(ACCEPTED)("both accept %s", (_, document) => {
  parsePolicies(document);
  isOfSchema(document);
  expect(isOfSchema.errors ?? []).toEqual([]);
  expect(isAccepted(JSON.parse(JSON.stringify(document)))).toBe(true);
});

test.each(REFUSED)("both refuse %s", (_, document) => {
  expect([isAccepted(document), isOfSchema(document)]).toEqual([false, false]);
});

test.each(REFUSED_BY_THE_PARSER)("only the parser refuses %s", (_, document) => {
  expect([isAccepted(document), isOfSchema(document)]).toEqual([false, true]);
});

/** The schemas of the OpenAPI document: JSON Schema 2020-12. */
import { PROBLEMS } from "./problem.js";

type Schema = Readonly<Record<string, unknown>>;

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const text: Schema = { type: "string" };
const flag: Schema = { type: "boolean" };
const count: Schema = { type: "number", minimum: 0 };
/** Milliseconds, or a text such as "10s". */
const span: Schema = { type: ["string", "number"] };
/** Infinity is null. */
const orEndless: Schema = { type: ["number", "null"], minimum: 0 };
const list = (items: Schema): Schema => ({ type: "array", items });

/** An object of these; all of them are there but for `optional`. */
function object(
  properties: Readonly<Record<string, Schema>>,
  optional: readonly string[] = [],
  isOpen = false,
): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", properties, required, ...(!isOpen && { additionalProperties: false }) };
}

/** Beyond these numbers lose digits. */
const entry: Schema = { type: ["string", "number"], minimum: -(2 ** 53 - 1), maximum: 2 ** 53 - 1 };
const asked = {
  rule: { type: "string", description: "The one rule to ask, whatever it matches." },
  key: {
    description: "With rule: the value of its key's only entry, or an object of all of them.",
    anyOf: [entry, { type: "object", additionalProperties: entry }],
  },
  entries: {
    type: "object",
    additionalProperties: entry,
    description: "What the request says of itself; all rules that match are asked.",
  },
  cost: {
    type: "number",
    minimum: 0,
    maximum: 1e9,
    description: "Units in whole thousandths; default 1.",
  },
  plan: text,
  slot: text,
};
const OPTIONAL = Object.keys(asked);
const { cost: _, ...withoutCost } = asked;

/** A request, and what a route wants beside it. */
function askedWith(
  more: Readonly<Record<string, Schema>>,
  optional: readonly string[] = [],
): Schema {
  return object({ ...withoutCost, ...more }, [...OPTIONAL, ...optional]);
}

const semaphoreName: Schema = { type: "string", description: 'Its name; default "semaphore".' };
const permits: Schema = { type: "integer", minimum: 1, maximum: 1e9 };
const fencingToken: Schema = { type: "string", pattern: "^[0-9]+$" };

const idempotencyKey: Schema = { type: "string", pattern: "^[A-Za-z0-9._-]{1,64}$" };

const verdict = {
  allowed: flag,
  reason: { enum: ["ok", "quota", "too-costly", "blocked", "store"] },
  limit: orEndless,
  remaining: orEndless,
  retryAfterMs: orEndless,
  resetAfterMs: orEndless,
  windowMs: count,
  policy: text,
  charged: count,
};

const decision = {
  ...verdict,
  decidedAtUs: count,
  source: {
    enum: [
      "store",
      "deny-cache",
      "prefetch",
      "local",
      "fail-open",
      "fail-closed",
      "fallback",
      "override",
      "rules",
    ],
  },
  policies: list(ref("Verdict")),
  shadow: list(ref("Verdict")),
  rule: text,
  version: { type: ["string", "number"] },
  override: text,
};
const DECISION_OPTIONAL = ["policies", "shadow", "charged", "rule", "version", "override"];

const ofRules = {
  ...decision,
  version: { type: ["string", "number"] },
  rules: list(ref("RuleDecision")),
  atomic: flag,
};
const RULES_OPTIONAL = ["policies", "shadow", "charged", "rule", "override"];

const problem = {
  type: text,
  title: text,
  status: { type: "integer", minimum: 400, maximum: 599 },
};
const denial = { ...problem, "violated-policies": list(text) };

export const openApiSchemas: Readonly<Record<string, Schema>> = {
  Object: { type: "object" },
  Asked: object(asked, OPTIONAL),
  Batch: object(
    { requests: { ...list(ref("Asked")), minItems: 1, maxItems: 1000 }, atomic: flag },
    ["atomic"],
  ),
  Amount: askedWith({ amount: count }),
  Refund: askedWith({ amount: count, idempotencyKey }, ["idempotencyKey"]),
  Settlement: askedWith({ reserved: count, actual: count, idempotencyKey }, ["idempotencyKey"]),
  Reserve: object({ ...asked, maxWait: { type: ["string", "number"] } }, [...OPTIONAL, "maxWait"]),
  Cancel: object({ ticket: text }),
  Acquire: object(
    {
      semaphore: semaphoreName,
      key: text,
      limit: permits,
      weight: permits,
      leaseDuration: span,
      maxWait: span,
      slot: text,
    },
    ["semaphore", "weight", "leaseDuration", "maxWait", "slot"],
  ),
  Permit: object({
    held: { const: true },
    ticket: text,
    fencingToken,
    expiresAtUs: count,
    leaseMs: count,
  }),
  BusyDenial: object({ ...problem, held: { const: false } }),
  Holding: object({ ticket: text }),
  Renewed: object({ held: flag, expiresAtUs: count }, ["expiresAtUs"]),
  Released: object({ released: flag }),
  OneKey: object({ semaphore: semaphoreName, key: text, limit: permits, slot: text }, [
    "semaphore",
    "slot",
  ]),
  Listing: object({
    limit: permits,
    held: count,
    waiting: count,
    holders: list(object({ fencingToken, weight: permits, sinceUs: count, untilUs: count })),
    waiters: list(object({ weight: permits, sinceUs: count })),
  }),
  Ended: object({ ended: count }),
  ModeSwitch: object({ mode: { enum: ["shadow", "off", null] } }),
  Verdict: object(verdict, ["charged"]),
  RuleDecision: object({
    rule: text,
    mode: { enum: ["enforce", "shadow"] },
    decision: ref("LimiterDecision"),
  }),
  LimiterDecision: object({ ...decision, granted: count }, [...DECISION_OPTIONAL, "granted"]),
  Decision: object(ofRules, RULES_OPTIONAL),
  Grant: object({ ...ofRules, granted: count }, RULES_OPTIONAL),
  Denial: object({ ...ofRules, ...denial, granted: count }, [...RULES_OPTIONAL, "granted"]),
  AuthzDenial: object(denial),
  Decisions: object({ allowed: flag, decisions: list(ref("Decision")), atomic: flag }),
  Refunds: object({
    refunded: count,
    rules: list(object({ ...decision, refunded: count }, DECISION_OPTIONAL)),
  }),
  Reservation: object({
    allowed: { const: true },
    delayMs: count,
    readyAtUs: count,
    ticket: text,
    decision: ref("Decision"),
  }),
  Cancelled: object({ cancelled: flag }),
  Explanation: object({
    version: { type: ["string", "number"] },
    switchedTo: ref("Mode"),
    decision: ref("Decision"),
    rules: list(object({ rule: text, unmet: list(ref("Object")), mode: ref("Mode") }, [], true)),
  }),
  Mode: { enum: ["enforce", "shadow", "off"] },
  Policies: object({ version: { type: ["string", "number"] }, document: ref("Object") }),
  Status: object(
    {
      version: { type: ["string", "number"] },
      mode: ref("Mode"),
      stale: text,
      staleMs: count,
      scheduled: list(ref("Object")),
      reloads: ref("Object"),
    },
    ["stale"],
  ),
  Health: object({ status: { const: "ok" } }),
  Readiness: object({ status: { enum: ["ready", "not ready"] }, notes: list(text) }),
  Problem: object({ ...problem, reason: { enum: Object.keys(PROBLEMS) }, detail: text }, [
    "detail",
  ]),
};

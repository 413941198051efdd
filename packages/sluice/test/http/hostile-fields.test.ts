/** Fields of what nobody decided: whatever the numbers and names are, they break nothing. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "vitest";
import type { Decision, DecisionReason, DecisionSource, Policy } from "../../src/index.js";
import { decisionFields, parseRateLimit } from "../../src/headers/index.js";
import { policySets } from "../properties/arbitraries.js";
import { runs } from "../support/runs.js";
import { read } from "./said.js";

/** Numbers as no store says them. */
const anyNumber = fc.oneof(
  fc.double(),
  fc.integer({ min: -5, max: 5000 }),
  fc.constantFrom(NaN, Infinity, -Infinity, -0, 1e300, -1e300, 2 ** 53, null as never),
);
const anyName = fc.oneof(
  fc.constantFrom("first", "second", 'a", "b";q=1', "a\r\nSet-Cookie: b=c", "", "é", "\0"),
  fc.string({ unit: "binary" }),
);
const anyReason = fc.constantFrom<DecisionReason>("ok", "quota", "too-costly", "blocked", "store");
const anySource = fc.constantFrom<DecisionSource>(
  ...([
    "store",
    "deny-cache",
    "prefetch",
    "local",
    "fail-open",
    "fail-closed",
    "fallback",
  ] as const),
);
const anyVerdict = {
  policy: anyName,
  allowed: fc.boolean(),
  reason: anyReason,
  limit: anyNumber,
  remaining: anyNumber,
  retryAfterMs: anyNumber,
  resetAfterMs: anyNumber,
  windowMs: anyNumber,
};
type Required = keyof typeof anyVerdict;
const madeUp: fc.Arbitrary<Decision> = fc.record(
  {
    ...anyVerdict,
    decidedAtUs: anyNumber,
    source: anySource,
    policies: fc.array(fc.record(anyVerdict), { maxLength: 3 }),
  },
  { requiredKeys: ["decidedAtUs", "source", ...(Object.keys(anyVerdict) as Required[])] },
);
/** A policy that no function of ours made. */
const forged: fc.Arbitrary<Policy> = fc.record({
  algorithm: fc.constantFrom("token-bucket", "fixed-window", "sliding-log", "unlimited", "new"),
  name: anyName,
  limit: anyNumber,
  period: anyNumber,
  refill: fc.constantFrom("interval", "continuous"),
}) as fc.Arbitrary<never>;
const anyCharged = fc.record({
  decision: madeUp,
  policies: fc.oneof(policySets as fc.Arbitrary<Policy[]>, fc.array(forged, { maxLength: 3 })),
  enforce: fc.constantFrom(undefined, true, false),
});

/** The same decision, of the policies that it names. */
function named({ decision, policies: given }: { decision: Decision; policies: Policy[] }): {
  decision: Decision;
  policies: Policy[];
} {
  const name = (i: number): string => given[i]?.name ?? "";
  const verdicts = decision.policies?.map((verdict, i) => ({ ...verdict, policy: name(i) }));
  return {
    decision: { ...decision, policy: name(0), ...(verdicts && { policies: verdicts }) },
    policies: given,
  };
}

const OTHER_FORMS = ["draft-07", "draft-06", "x-ratelimit", ["draft-11", "x-ratelimit"]] as const;

describe("the fields of decisions that nobody made", () => {
  test("break nothing, whatever they say", () => {
    fc.assert(
      fc.property(anyCharged, fc.boolean(), ({ enforce, ...charged }, isNamed) => {
        const one = { ...(isNamed ? named(charged) : charged), enforce };
        const { decision } = one;
        const { limits, retryAfterMs } = read(decisionFields([one]));
        const isSilent = !["store", "prefetch", "deny-cache"].includes(decision.source);
        if (isSilent || enforce === false) assert.equal(limits.length, 0);
        const isNever = decision.reason === "too-costly" && decision.retryAfterMs === Infinity;
        if (decision.allowed || enforce === false || isNever) assert.equal(retryAfterMs, undefined);
        const verdicts = decision.policies ?? [decision];
        // Of two that have one name, which no set has, either may be stated: the first may be one without a limit.
        const blocked = verdicts.filter(
          (v) =>
            v.reason === "blocked" && verdicts.filter((w) => w.policy === v.policy).length === 1,
        );
        for (const { policy } of blocked) {
          const said = limits.find(({ name }) => name === policy);
          assert.ok(said === undefined || said.remaining === 0);
        }
      }),
      { numRuns: runs(100_000) },
    );
  });

  test("break no other form", () => {
    fc.assert(
      fc.property(anyCharged, fc.constantFrom(...OTHER_FORMS), (charged, form) => {
        const fields = decisionFields([named(charged)], { form, nowMs: 1_893_456_000_123 });
        for (const [name, value] of fields) {
          assert.match(name, /^[A-Za-z-]+$/);
          assert.match(value, /^[\w.";=, -]+$/);
        }
        const numbers = fields.filter(([name]) => !/^RateLimit(-Policy)?$/.test(name));
        for (const [, value] of numbers) assert.match(value, /^\d+$/);
        if (fields.length > 1) {
          const { limits, form: found } = parseRateLimit(Object.fromEntries(fields));
          assert.equal(found, typeof form === "string" ? form : "draft-11");
          assert.ok(limits.length > 0);
        }
      }),
      { numRuns: runs(20_000) },
    );
  });
});

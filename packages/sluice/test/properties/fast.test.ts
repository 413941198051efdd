/** The usual consume on a row, and the general decision of the same call: equal in every number, or left to that. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { BucketParams } from "../../src/algorithms/bucket/kernel.js";
import type { VerbName } from "../../src/algorithms/decide.js";
import { REASON, VERBS } from "../../src/algorithms/decide.js";
import {
  READY,
  ROW_EXPIRY,
  ROW_KERNEL,
  ROW_LAST,
  type State,
} from "../../src/algorithms/kernel.js";
import { type Rule, ruleOf } from "../../src/algorithms/rule.js";
import { step } from "../../src/algorithms/step.js";
import { gcra, tokenBucket, unlimited } from "../../src/index.js";
import { EXACT } from "../../src/core/mul-div.js";
import { runs } from "../support/runs.js";
import {
  costOf,
  type Kind,
  type LimitedPolicy,
  moveUs,
  policies,
  starts,
  steps,
} from "./arbitraries.js";

const KINDS: readonly Kind[] = [
  "tokenBucket",
  "tokenBucket by interval",
  "gcra",
  "leakyBucket",
  "fixedWindow of the clock",
  "fixedWindow of the first hit",
  "calendarWindow",
  "slidingWindow",
];

/** Of one kernel: a state that one of them left may be decided by another. */
const BUCKETS: readonly Kind[] = ["tokenBucket", "tokenBucket by interval", "gcra", "leakyBucket"];

const PLAYED = [
  ...Array<"consume">(8).fill("consume"),
  "penalize",
  "refund",
  "consumeUpTo",
] as const satisfies readonly VerbName[];

/** Not where the row begins, so that a place counted from the array's beginning shows. */
const AT = 6;

/** A state that has nothing beside its row, in an array of rows. */
function rowOf({ kernel }: Rule, state: State): Float64Array {
  const row = new Float64Array(3 * AT).fill(-7);
  row[AT + ROW_EXPIRY] = state.expiryMs;
  row[AT + ROW_LAST] = state.lastUs;
  kernel.row?.save(state, row, AT + ROW_KERNEL);
  return row;
}

/** Decides one consume both ways; whether it was of the usual kind. */
function decideBothWays(rule: Rule, state: State, cost: number, nowUs: number): boolean {
  const call = { verb: VERBS.consume, blockUs: 0, maxWaitUs: 0, cost, nowUs };
  const row = rowOf(rule, state);
  const before = row.slice();
  rule.refresh?.(nowUs);
  const answer = { reason: 0, available: 0, waitUs: 0, resetUs: 0 };
  const isUsual = rule.kernel.consumeRow?.(row, AT, rule.params, cost, nowUs, answer) === true;
  if (!isUsual) {
    expect(row).toEqual(before);
    return false;
  }
  const { states, debits, granted, ...general } = step([rule], [state], call);
  expect(general).toMatchObject({ readiness: READY, nowUs });
  expect(granted).toBe(answer.reason === REASON.ok ? cost : 0);
  expect(debits[0]).toMatchObject(answer);
  expect(row).toEqual(rowOf(rule, states[0] as State));
  return true;
}

interface Count {
  /** Consumes on a key that holds something. */
  asked: number;
  /** Those that its row decided. */
  usual: number;
}

/** Plays a trace on one key, under two variants of a policy and now and then under none. */
function playBothWays(
  variants: readonly LimitedPolicy[],
  startUs: number,
  trace: Parameters<typeof costOf>[0][],
  count: Count,
): void {
  const free = ruleOf(unlimited());
  let nowUs = startUs;
  let state: State | undefined;
  for (const each of trace) {
    const policy = variants[each.variant % variants.length] as LimitedPolicy;
    const limited = ruleOf(policy);
    const isFree = each.probe && each.part > 0.5 && free.kernel === limited.kernel;
    const rule = isFree ? free : limited;
    nowUs = Math.max(0, nowUs + moveUs(each, policy));
    const cost = Math.round(costOf(each, policy) * 1000);
    const verb = VERBS[each.verb as VerbName];
    if (verb === VERBS.consume && state !== undefined) {
      count.asked += 1;
      if (decideBothWays(rule, state, cost, nowUs)) count.usual += 1;
    }
    const call = { verb, blockUs: 0, maxWaitUs: 0, cost, nowUs };
    [state] = step([rule], [state], call).states;
  }
}

describe("a consume that a row decides is the general decision", () => {
  test.for(KINDS)("%s", (kind) => {
    const count = { asked: 0, usual: 0 };
    const another = BUCKETS.includes(kind) ? fc.constantFrom(...BUCKETS) : fc.constant(kind);
    const variants = fc.oneof(
      policies[kind]("p").map((policy) => [policy]),
      another.chain((other) => fc.tuple(policies[kind]("p"), policies[other]("p"))),
    );
    fc.assert(
      fc.property(variants, starts, steps(PLAYED, 40), (variant, start, trace) => {
        playBothWays(variant, start, trace, count);
      }),
      { numRuns: runs(200, 40) },
    );
    const least = kind === "tokenBucket by interval" ? 0 : count.asked / 4;
    expect(count.usual).toBeGreaterThan(least);
  });
});

describe("so is one at the last µs of a window, and at the first of the next", () => {
  test.for([
    "fixedWindow of the clock",
    "fixedWindow of the first hit",
    "calendarWindow",
    "slidingWindow",
  ] as const)("%s", (kind) => {
    fc.assert(
      fc.property(policies[kind]("p"), starts, (policy, startUs) => {
        const rule = ruleOf(policy);
        const call = { verb: VERBS.consume, blockUs: 0, maxWaitUs: 0, cost: 1, nowUs: startUs };
        const [state] = step([rule], [undefined], call).states;
        const { endUs } = state as State & { readonly endUs: number };
        for (const nowUs of [endUs - 1, endUs, endUs + 1]) {
          expect(decideBothWays(rule, state as State, 1, nowUs)).toBe(true);
        }
      }),
      { numRuns: runs(200, 40) },
    );
  });
});

test("what another policy left beyond what this one can drain is the general decision's", () => {
  const rule = ruleOf(gcra({ limit: 0.001, period: "366d", burst: 0.001 }));
  const { per, maximum } = rule.params as BucketParams;
  const nowUs = 1_893_456_000_000_000;
  const at = { lastUs: nowUs, sinceUs: nowUs, expiryMs: nowUs / 1e3 + 1e9, per };
  const left = (used: number): State => ({ ...rule.kernel.fresh(), ...at, used }) as State;
  expect(decideBothWays(rule, left(maximum), 1, nowUs + 10)).toBe(true);
  expect(decideBothWays(rule, left(maximum + 1), 1, nowUs + 10)).toBe(false);
});

describe("numbers whose product is past what a double holds exactly are the general decision's", () => {
  const nowUs = 1_893_456_000_000_000;
  const left = (rule: Rule, used: number): State => {
    const { per } = rule.params as BucketParams;
    const at = { lastUs: nowUs, sinceUs: nowUs, expiryMs: nowUs / 1e3 + 1e12, per };
    return { ...rule.kernel.fresh(), ...at, used } as State;
  };

  test("what came back meanwhile", () => {
    const rule = ruleOf(tokenBucket({ limit: 1_000_003, period: "1h" }));
    const { limit } = rule.params as BucketParams;
    const lastUs = Math.floor((EXACT - 1) / limit);
    expect(decideBothWays(rule, left(rule, 1000), 1000, nowUs + lastUs)).toBe(true);
    expect(decideBothWays(rule, left(rule, 1000), 1000, nowUs + lastUs + 1)).toBe(false);
  });

  const slow = ruleOf(tokenBucket({ limit: 0.007, period: "366d", burst: 0.6 }));
  const { period, capacity } = slow.params as BucketParams;
  const most = Math.floor((EXACT - 1) / period);

  test("the reset of what is taken", () => {
    expect(most + 1).toBeLessThan(capacity);
    expect(decideBothWays(slow, left(slow, most - 5), 5, nowUs)).toBe(true);
    expect(decideBothWays(slow, left(slow, most - 5), 6, nowUs)).toBe(false);
  });

  test("the reset where nothing is taken", () => {
    expect(decideBothWays(slow, left(slow, most), capacity, nowUs)).toBe(true);
    expect(decideBothWays(slow, left(slow, most + 1), capacity, nowUs)).toBe(false);
  });
});

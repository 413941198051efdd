/** Random plans: few keys, so that calls meet; all algorithms; clients that wait and clients that do not. */
import fc from "fast-check";
import type { Policy } from "../../src/index.js";
import {
  costOf,
  type Kind,
  kinds,
  moveUs,
  policies,
  type Step,
  steps,
  type LimitedPolicy,
} from "../properties/arbitraries.js";
import type { Plan, PlannedCall, PlannedLimiter, PlannedVerb } from "../support/concurrent.js";

const VERBS = [
  "consume",
  "consume",
  "consume",
  "consume",
  "consumeUpTo",
  "consumeUpTo",
  "consumeMany",
  "consumeAtomic",
  "consumeAtomic",
  "peek",
  "peek",
  "reserve",
  "reserve",
  "cancel",
  "acquire",
  "refund",
  "penalize",
  "block",
  "unblock",
  "reset",
] as const satisfies readonly PlannedVerb[];
/** Of those who wait in line, and of those who get between them. */
const LINE_VERBS = [
  ...(["reserve", "reserve", "reserve", "reserve", "reserve", "reserve", "reserve"] as const),
  ...(["cancel", "cancel", "cancel", "cancel", "acquire", "acquire"] as const),
  ...(["consume", "peek", "refund", "penalize", "reset"] as const),
] as const satisfies readonly PlannedVerb[];
/** In place of small ones, which would seldom have to wait. */
const LINE_PRICES: Readonly<Partial<Record<string, "part" | "whole">>> = {
  one: "whole",
  thousandth: "part",
  few: "whole",
};
/** The policies that promise a start ahead. */
const BUCKETS = ["tokenBucket", "gcra", "leakyBucket"] as const satisfies readonly Kind[];
export const KEYS = ["a", "a", "a", "b", "\u{1f6b0}"] as const;
const MAX_BLOCK_MS = 60_000;

/** A policy in two variants of its options. */
const policyPair = (of: readonly Kind[], name: string): fc.Arbitrary<readonly [Policy, Policy]> =>
  fc.oneof(...of.map((kind) => fc.tuple(policies[kind](name), policies[kind](name))));

const limiters = (of: readonly Kind[]): fc.Arbitrary<PlannedLimiter> =>
  fc
    .record({
      first: policyPair(of, "p0"),
      more: fc.option(policyPair(of, "p1"), { nil: undefined, freq: 1 }),
      most: fc.option(policyPair(of, "p2"), { nil: undefined, freq: 1 }),
      blockForMs: fc.constantFrom(0, 0, 0, 5000),
    })
    .map(({ first, more, most, blockForMs }) => {
      const pairs = [first, ...(more ? [more] : []), ...(most ? [most] : [])];
      return { variants: [pairs.map(([a]) => a), pairs.map(([, b]) => b)], blockForMs };
    });

/** Limiters whose every call may be promised a start ahead. */
const lineLimiters: fc.Arbitrary<PlannedLimiter> = fc
  .oneof(
    { weight: 3, arbitrary: policyPair(BUCKETS, "p0").map(([a]) => [a]) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(policyPair(BUCKETS, "p0"), policyPair(BUCKETS, "p1"))
        .map(([[a], [b]]) => [a, b]),
    },
  )
  .map((own) => ({ variants: [own, own], blockForMs: 0 }));

/** What concerns those who wait in line. */
const waiting = fc.record({
  maxWaitMs: fc.constantFrom(...Array<number>(5).fill(Number.POSITIVE_INFINITY), 0, 0.001, 1000),
  back: fc.constantFrom(0, 0, 1, 2),
  patience: fc.constantFrom(0, 1, 10),
});

/** Plans of two to five clients. `verbs` are called besides the usual ones, as often as they are listed. */
export function plans(verbs: readonly PlannedVerb[] = []): fc.Arbitrary<Plan> {
  return plansOf({
    limiters: fc.array(limiters(kinds), { minLength: 1, maxLength: 3, size: "max" }),
    calls: steps<PlannedVerb>([...VERBS, ...verbs], 1),
    keys: KEYS,
  });
}

/** Plans of clients that wait in line: calls are large and the clock moves slowly, so that the line is long. */
export function linePlans(): fc.Arbitrary<Plan> {
  return plansOf({
    limiters: fc.tuple(lineLimiters),
    calls: steps<PlannedVerb>(LINE_VERBS, 1).map((calls) =>
      calls.map((call) => ({ ...call, price: LINE_PRICES[call.price] ?? call.price })),
    ),
    keys: ["a"],
    slowness: 50,
  });
}

interface Ingredients {
  readonly limiters: fc.Arbitrary<readonly PlannedLimiter[]>;
  /** One call. */
  readonly calls: fc.Arbitrary<readonly Step<PlannedVerb>[]>;
  readonly keys: readonly string[];
  /** Divides how far the clock moves. */
  readonly slowness?: number;
}

function plansOf({ limiters: own, calls, keys, slowness = 1 }: Ingredients): fc.Arbitrary<Plan> {
  const where = fc.record({
    limiter: fc.nat({ max: 2 }),
    key: fc.constantFrom(...keys),
    otherKey: fc.constantFrom(...keys),
    turns: fc.constantFrom(0, 0, 0, 1, 2),
  });
  const client = fc.array(fc.tuple(where, waiting, calls), {
    minLength: 1,
    maxLength: 8,
    size: "max",
  });
  return fc
    .record({
      limiters: own,
      clients: fc.array(client, { minLength: 2, maxLength: 5, size: "max" }),
    })
    .map((plan) => ({
      limiters: plan.limiters,
      clients: plan.clients.map((parts) =>
        parts.map(([whereabouts, wait, [some]]): PlannedCall => {
          const step = some as Step<PlannedVerb>;
          const { verb, variant, part, probe } = step;
          const limiter = whereabouts.limiter % plan.limiters.length;
          const [policy] = (plan.limiters[limiter] as PlannedLimiter).variants[variant];
          const on = policy as LimitedPolicy;
          return {
            ...whereabouts,
            ...wait,
            limiter,
            verb,
            variant,
            cost: costOf(step, on),
            durationMs: 1 + Math.floor(part * MAX_BLOCK_MS * 1e3) / 1e3,
            advanceUs: Math.max(0, Math.round(moveUs(step, on) / slowness)),
            waits: probe,
          };
        }),
      ),
    }));
}

/** Random plans: few keys, so that calls meet; all algorithms; clients that wait and clients that do not. */
import fc from "fast-check";
import type { Policy } from "../../src/index.js";
import { costOf, kinds, moveUs, policies, steps } from "../properties/arbitraries.js";
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
  "refund",
  "penalize",
  "block",
  "unblock",
  "reset",
] as const satisfies readonly PlannedVerb[];
const KEYS = ["a", "a", "a", "b", "\u{1f6b0}"] as const;
const MAX_BLOCK_MS = 60_000;

/** A policy in two variants of its options. */
const policyPair = (name: string): fc.Arbitrary<readonly [Policy, Policy]> =>
  fc.oneof(...kinds.map((kind) => fc.tuple(policies[kind](name), policies[kind](name))));

const limiters: fc.Arbitrary<PlannedLimiter> = fc
  .record({
    first: policyPair("p0"),
    more: fc.option(policyPair("p1"), { nil: undefined, freq: 1 }),
    most: fc.option(policyPair("p2"), { nil: undefined, freq: 1 }),
    blockForMs: fc.constantFrom(0, 0, 0, 5000),
  })
  .map(({ first, more, most, blockForMs }) => {
    const pairs = [first, ...(more ? [more] : []), ...(most ? [most] : [])];
    return { variants: [pairs.map(([a]) => a), pairs.map(([, b]) => b)], blockForMs };
  });

const whereabouts = fc.record({
  limiter: fc.nat({ max: 2 }),
  key: fc.constantFrom(...KEYS),
  otherKey: fc.constantFrom(...KEYS),
  turns: fc.constantFrom(0, 0, 0, 1, 2),
});

/** Plans of two to five clients. `verbs` are called besides the usual ones, as often as they are listed. */
export function plans(verbs: readonly PlannedVerb[] = []): fc.Arbitrary<Plan> {
  const calls = fc.array(fc.tuple(whereabouts, steps<PlannedVerb>([...VERBS, ...verbs], 1)), {
    minLength: 1,
    maxLength: 8,
    size: "max",
  });
  return fc
    .record({
      limiters: fc.array(limiters, { minLength: 1, maxLength: 3, size: "max" }),
      clients: fc.array(calls, { minLength: 2, maxLength: 5, size: "max" }),
    })
    .map((plan) => ({
      limiters: plan.limiters,
      clients: plan.clients.map((client) =>
        client.map(([where, [step]]): PlannedCall => {
          const { verb, variant, part, probe } = step as NonNullable<typeof step>;
          const limiter = where.limiter % plan.limiters.length;
          const [policy] = (plan.limiters[limiter] as PlannedLimiter).variants[variant];
          const on = policy as Policy;
          return {
            ...where,
            limiter,
            verb,
            variant,
            cost: costOf(step as NonNullable<typeof step>, on),
            durationMs: 1 + Math.floor(part * MAX_BLOCK_MS * 1e3) / 1e3,
            advanceUs: Math.max(0, moveUs(step as NonNullable<typeof step>, on)),
            waits: probe,
          };
        }),
      ),
    }));
}

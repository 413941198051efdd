/** The policies that decide a call, as events name them. */
import type { Policy } from "../algorithms/registry.js";

/** What holds a policy: it is bound to a name, or part of a call. */
export interface RuleHolder {
  readonly rule: { readonly policy: Policy };
}

const known = new WeakMap<readonly RuleHolder[], readonly Policy[]>();

/** The same list each time for the same holders: fixed policies are listed once. */
export function policiesIn(holders: readonly RuleHolder[]): readonly Policy[] {
  let policies = known.get(holders);
  if (policies === undefined) {
    policies = Object.freeze(holders.map(({ rule }) => rule.policy));
    known.set(holders, policies);
  }
  return policies;
}

/** The parts of a store call: what each policy is asked for. */
import type { Debit } from "../stores/store.js";
import type { BoundPolicies, BoundPolicy } from "./bound-policies.js";

/** An array of "map" changes its shape when that is compiled, and all who read it are compiled again. */
export function debitsOf(bound: BoundPolicies, id: string, cost: number): readonly Debit[] {
  const first = bound[0] as BoundPolicy;
  if (bound.length === 1) return [debitOf(first, id, cost)];
  if (bound.length !== 2) return manyDebits(bound, id, cost);
  return [debitOf(first, id, cost), debitOf(bound[1] as BoundPolicy, id, cost)];
}

function manyDebits(bound: BoundPolicies, id: string, cost: number): readonly Debit[] {
  return bound.map((each) => debitOf(each, id, cost));
}

function debitOf({ name, rule, keyspace }: BoundPolicy, id: string, cost: number): Debit {
  return { name, rule, keyspace, id, cost };
}

/** A consume of one policy that synchronous callers fill again for each key: a new one for each costs more than deciding. */
import { VERBS } from "../algorithms/decide.js";
import type { Debit, StoreCall } from "../stores/store.js";
import type { BoundPolicy } from "./bound-policies.js";

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export interface ReusableCall extends Writable<StoreCall> {
  debits: [Writable<Debit>];
}

export function reusableCall(policy: BoundPolicy, blockUs: number): ReusableCall {
  const debit = { ...policy, id: "", cost: 0 };
  return { verb: VERBS.consume, debits: [debit], blockUs, maxWaitUs: 0 };
}

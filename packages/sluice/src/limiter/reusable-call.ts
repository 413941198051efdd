/** A consume of one policy that synchronous callers fill again for each key: a new one for each costs more than deciding. */
import { VERBS } from "../algorithms/decide.js";
import type { Debit, StoreCall } from "../stores/store.js";
import type { BoundPolicies, BoundPolicy } from "./bound-policies.js";

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export interface ReusableCall extends Writable<StoreCall> {
  debits: [Writable<Debit>];
}

export function reusableCall(policy: BoundPolicy, blockUs: number): ReusableCall {
  const debit = { ...policy, id: "", cost: 0 };
  return { verb: VERBS.consume, debits: [debit], blockUs, maxWaitUs: 0 };
}

/** The same for policies that calls bring again and again, if one of them decides alone. */
export class ReusableCalls {
  readonly #byList = new WeakMap<BoundPolicies, ReusableCall>();
  readonly #blockUs: number;

  constructor(blockUs: number) {
    this.#blockUs = blockUs;
  }

  /** Undefined if several decide, or some are on trial beside. */
  of(bound: BoundPolicies): ReusableCall | undefined {
    const { terms } = bound;
    if (terms === undefined || bound.length > 1 || terms.shadows.length > 0) return undefined;
    let call = this.#byList.get(bound);
    if (call === undefined) {
      call = reusableCall(bound[0] as BoundPolicy, this.#blockUs);
      this.#byList.set(bound, call);
    }
    return call;
  }
}

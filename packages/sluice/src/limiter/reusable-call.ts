/** A consume of one policy that synchronous callers fill again for each key: a new one for each costs more than deciding. */
import { VERBS } from "../algorithms/decide.js";
import type { Debit, StoreCall } from "../stores/store.js";
import type { BoundPolicies, BoundPolicy } from "./bound-policies.js";

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export interface ReusableCall extends Writable<StoreCall> {
  debits: [Writable<Debit>];
  /** The calls of the policies on trial beside it. */
  readonly beside: readonly ReusedBeside[];
}

/** A policy on trial, and what it is asked. */
interface ReusedBeside {
  readonly policy: BoundPolicy;
  readonly call: ReusableCall;
}

export function reusableCall(
  policy: BoundPolicy,
  blockUs: number,
  shadows: readonly BoundPolicy[] = [],
): ReusableCall {
  const debit = { ...policy, id: "", cost: 0 };
  const beside = shadows.map((shadow) => ({ policy: shadow, call: reusableCall(shadow, blockUs) }));
  return { verb: VERBS.consume, debits: [debit], blockUs, maxWaitUs: 0, beside };
}

/** Makes it the call for an id; those beside it too. `cost` is in thousandths. */
export function refill({ debits, beside }: ReusableCall, id: string, cost: number): void {
  const [debit] = debits;
  debit.id = id;
  debit.cost = cost;
  for (const { call } of beside) refill(call, id, cost);
}

/** The same for policies that calls bring again and again, if one of them decides alone. */
export class ReusableCalls {
  readonly #byList = new WeakMap<BoundPolicies, ReusableCall>();
  readonly #blockUs: number;

  constructor(blockUs: number) {
    this.#blockUs = blockUs;
  }

  /** Undefined if several decide. */
  of(bound: BoundPolicies): ReusableCall | undefined {
    const { terms } = bound;
    if (terms === undefined || bound.length > 1) return undefined;
    let call = this.#byList.get(bound);
    if (call === undefined) {
      call = reusableCall(bound[0] as BoundPolicy, this.#blockUs, terms.shadows);
      this.#byList.set(bound, call);
    }
    return call;
  }
}

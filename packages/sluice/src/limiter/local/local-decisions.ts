/** What one limiter answers from the memory of its process while its store is away: the same requests, decided alike. */
import { VERBS } from "../../algorithms/decide.js";
import { UNIT } from "../../core/amount.js";
import { InvalidOptionError } from "../../core/errors.js";
import { keyInSlot } from "../../core/key.js";
import type { Outcome, StoreCall, StoreResult } from "../../stores/store.js";
import { type Canceller, withGrant, withReserved } from "../answers.js";
import { decisionOf, degradedDecision } from "../decisions.js";
import { type LimiterAnswer, type PreparedRequest, takerOf } from "../request.js";
import { asksForQuota } from "../verbs.js";
import type { HeldDenial } from "../shortcuts/deny-cache.js";
import type { Shortcuts } from "../shortcuts/shortcuts.js";
import type { LocalStore } from "./local-store.js";

export class LocalDecisions {
  readonly store: LocalStore;
  readonly #shortcuts: Shortcuts;
  readonly #canceller: Canceller;

  constructor(store: LocalStore, shortcuts: Shortcuts, enforce: boolean) {
    this.store = store;
    this.#shortcuts = shortcuts;
    // What was promised here is given back here, even if the store has recovered.
    this.#canceller = {
      store,
      enforce,
      outcomeOf: async (call) => store.decide(call),
      adjusted() {},
      failed() {},
    };
  }

  /** Decides a request instead of the store. */
  answer(prepared: PreparedRequest): LimiterAnswer {
    if (isLost(prepared)) return { ...this.#unchanged(prepared), refunded: 0 };
    const held = this.held(prepared);
    if (held !== undefined && !isPartial(prepared, held)) return this.#denied(prepared, held);
    return this.conclude(prepared, this.store.decide(callOf(prepared, held)));
  }

  /** From what the memory said to the caller's answer. */
  conclude(prepared: PreparedRequest, outcome: Outcome): LimiterAnswer {
    const { request, bound } = prepared;
    if (outcome instanceof InvalidOptionError) throw outcome;
    if (outcome instanceof Error) return this.#full(prepared);
    const decision = withGrant(request, decisionOf(bound, outcome, "local"), outcome.granted);
    return this.#reserved(prepared, decision, outcome);
  }

  /** What the store said before, and would still say. */
  held({ request, bound, call }: PreparedRequest): HeldDenial | undefined {
    const { verb } = request;
    if (!asksForQuota(verb) && verb !== VERBS.peek) return undefined;
    return this.#shortcuts.held(keyInSlot(request), call.debits[0]?.cost ?? 0, bound);
  }

  /** What is there, as the verbs that adjust answer it. */
  #unchanged(prepared: PreparedRequest): LimiterAnswer {
    const call = { ...prepared.call, verb: VERBS.peek };
    const debits = call.debits.map((debit) => ({ ...debit, cost: 0 }));
    return this.conclude(prepared, this.store.decide({ ...call, debits }));
  }

  #denied(prepared: PreparedRequest, { decision }: HeldDenial): LimiterAnswer {
    const { request } = prepared;
    // Not the end of a wait: once the denial is over, the call may be made again.
    return this.#reserved(
      { ...prepared, canReserve: false },
      withGrant(request, decision, 0),
      undefined,
    );
  }

  /** The memory is full of what must not be forgotten. */
  #full(prepared: PreparedRequest): LimiterAnswer {
    const decision = degradedDecision(prepared.bound, "local");
    return this.#reserved(prepared, withGrant(prepared.request, decision, 0), undefined);
  }

  #reserved(
    prepared: PreparedRequest,
    decision: LimiterAnswer,
    result: StoreResult | undefined,
  ): LimiterAnswer {
    return withReserved(this.#canceller, prepared, decision, result);
  }
}

/** Whether units should go back to the store, which is away: here they were never taken. */
function isLost({ request }: PreparedRequest): boolean {
  return request.of !== undefined && takerOf(request.of) === "store";
}

/** Whether a part of the request may still be granted. */
function isPartial({ request }: PreparedRequest, { leastCost }: HeldDenial): boolean {
  return request.verb === VERBS.consumeUpTo && leastCost > UNIT;
}

/** The call, with no more than what nothing is known against. */
function callOf({ call }: PreparedRequest, held: HeldDenial | undefined): StoreCall {
  if (held === undefined) return call;
  const cost = (Math.ceil(held.leastCost / UNIT) - 1) * UNIT;
  return { ...call, debits: call.debits.map((debit) => ({ ...debit, cost })) };
}

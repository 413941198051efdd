/** What some verbs answer beside the decision: consumeUpTo its grant, refund what came back, reserve the start. */
import { VERBS } from "../algorithms/decide.js";
import { UNIT } from "../core/amount.js";
import { monotonicMs } from "../core/clock.js";
import type { Decision } from "../core/decision.js";
import { asStoreError } from "../core/errors.js";
import type { Done, Outcome, StoreCall, StoreResult } from "../stores/store.js";
import type { LimiterAnswer, LimiterRequest, PreparedRequest } from "./request.js";
import { returnShadows } from "./shadows.js";
import { lastFirst } from "./waiting/last-first.js";

/** Who gives a promised start back. */
export interface Canceller {
  /** The store that promised the start. */
  readonly store: object;
  readonly enforce: boolean;
  outcomeOf(call: StoreCall, signal: undefined, atMs: number): Promise<Outcome>;
  /** The call on the key has ended. */
  adjusted(prepared: PreparedRequest, call: StoreCall, outcome: Outcome): void;
  failed(error: Error, request: LimiterRequest): void;
}

/** Adds how many units consumeUpTo granted, or refund gave back. */
export function withGrant(
  { verb }: LimiterRequest,
  decision: Decision,
  granted: number,
): LimiterAnswer {
  if (verb === VERBS.consumeUpTo) return Object.assign(decision, { granted: granted / UNIT });
  if (verb === VERBS.refund) return Object.assign(decision, { refunded: granted / UNIT });
  return decision;
}

/** Adds what it takes to wait for the start that reserve was promised by `result`, and to give it back. */
export function withReserved(
  canceller: Canceller,
  prepared: PreparedRequest,
  decision: LimiterAnswer,
  result: StoreResult | undefined,
): LimiterAnswer {
  if (prepared.request.verb !== VERBS.reserve) return decision;
  const { call, canReserve } = prepared;
  const reserved = {
    call,
    result,
    canReserve,
    enforce: canceller.enforce && prepared.bound.terms?.hasVote !== false,
    cancel: async (): Promise<boolean> =>
      result !== undefined && cancelStart(canceller, prepared, result),
  };
  return { ...decision, reserved };
}

/** Handles a start that is promised after its caller stopped waiting. */
export function lateStart(canceller: Canceller, prepared: PreparedRequest): Done {
  return (late) => {
    if (!(late instanceof Error)) void cancelStart(canceller, prepared, late);
  };
}

/** Gives a promised start back: whether anything came back. Never rejects. */
export async function cancelStart(
  canceller: Canceller,
  prepared: PreparedRequest,
  { receipt }: Pick<StoreResult, "receipt">,
): Promise<boolean> {
  if (receipt === undefined) return false;
  const { request, call } = prepared;
  const { debits } = call;
  const cancel = { verb: VERBS.cancel, debits, blockUs: 0, maxWaitUs: 0, receipt };
  const outcome = await lastFirst(canceller.store, receipt.sold, () =>
    canceller.outcomeOf(cancel, undefined, monotonicMs()).catch(asStoreError),
  );
  canceller.adjusted(prepared, cancel, outcome);
  const isBack = !(outcome instanceof Error) && outcome.granted > 0;
  const isBeside = prepared.shadow !== undefined || request.ofShadows !== undefined;
  if (isBack && isBeside) await returnShadows(canceller, prepared);
  if (!(outcome instanceof Error)) return outcome.granted > 0;
  canceller.failed(outcome, request);
  return false;
}

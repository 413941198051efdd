/** The answer to a request that the store did not give, and who hears of that: the failure first, then the decision. */
import { VERBS } from "../algorithms/decide.js";
import type { Closing } from "../core/closing.js";
import type { ErrorEvent } from "../events/events.js";
import { noteAdjusted } from "./adjusted.js";
import type { BoundPolicies } from "./bound-policies.js";
import { type Canceller, withReserved } from "./answers.js";
import { reportDecision, type ReportingLimiter, undecided } from "./report.js";
import type { LimiterAnswer, LimiterRequest, PreparedRequest } from "./request.js";

/** Whose store did not answer. */
export type Storeless = ReportingLimiter & Canceller & { readonly closing: Closing };

/**
 * `answer` says what callers get instead of the store's answer, or throws. `reportFailure` was claimed when the failure was
 * known: a fallback may take longer than the outage.
 */
export async function withoutStore(
  limiter: Storeless,
  prepared: PreparedRequest,
  error: Error,
  answer: () => Promise<LimiterAnswer>,
  reportFailure: (failure: ErrorEvent) => void,
): Promise<LimiterAnswer> {
  const { request, atMs } = prepared;
  const { key, cost } = request;
  let answered: LimiterAnswer;
  try {
    // It was asked before the limiter was closed: now nothing is to answer instead of the store.
    limiter.closing.throwIfClosed();
    answered = await answer();
  } catch (thrown) {
    reportFailure({ error, key, cost });
    noteAdjusted(limiter, prepared, request.verb, error);
    throw undecided(limiter, request, thrown as Error, atMs);
  }
  const { reserved, ...decision } = answered;
  reportFailure({ error, key, cost, decision });
  const reported = reportDecision(limiter, prepared, decision);
  if (request.verb !== VERBS.reserve) return reported;
  if (reserved !== undefined) return { ...reported, reserved };
  return withReserved(limiter, prepared, reported, undefined);
}

/** The same if not even the policies are known; `answer` throws if nothing is to answer then. */
export function withoutPolicies(
  limiter: Storeless,
  request: LimiterRequest,
  answer: () => LimiterAnswer,
): LimiterAnswer {
  let answered: LimiterAnswer;
  try {
    answered = answer();
  } catch (thrown) {
    throw undecided(limiter, request, thrown as Error, 0);
  }
  const nothing = nothingAsked(request, []);
  return withReserved(limiter, nothing, reportDecision(limiter, nothing, answered), undefined);
}

/** A request of which nothing was asked. */
export function nothingAsked(request: LimiterRequest, bound: BoundPolicies): PreparedRequest {
  const call = { verb: request.verb, debits: [], blockUs: 0, maxWaitUs: 0 };
  return { request, bound, call, clears: undefined, canReserve: false, atMs: 0 };
}

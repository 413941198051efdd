/** The last stage of a request: it is counted, the listeners hear of it, and in shadow mode everything passes. */
import { VERBS } from "../algorithms/decide.js";
import { isAbortedBy } from "../core/abort.js";
import { monotonicMs } from "../core/clock.js";
import type { ReservationReceipt } from "../algorithms/kernel.js";
import type { Decision, PolicyVerdict } from "../core/decision.js";
import type { Events } from "../events/events.js";
import type { LimiterCounts } from "./counts.js";
import type { PolicyTerms } from "./bound-policies.js";
import { policiesIn } from "./policies-in.js";
import type { LimiterAnswer, LimiterRequest, PreparedRequest } from "./request.js";
import { asksForQuota, nameOf } from "./verbs.js";

/** Whose decisions are reported. */
export interface ReportingLimiter {
  /** As events name it. */
  readonly name: string;
  readonly events: Events;
  readonly counts: LimiterCounts;
  /** false in shadow mode. */
  readonly enforce: boolean;
}

/** What is reported: `atMs` is when the request was prepared, 0 if the store was not asked. */
export type Reported = Pick<PreparedRequest, "request" | "atMs" | "bound" | "shadow">;

/** The decision as its caller gets it; `receipt` is what the store promised. */
export function reportDecision<D extends Decision>(
  { name, events, counts, enforce }: ReportingLimiter,
  { request, atMs, bound, shadow }: Reported,
  made: D,
  receipt?: ReservationReceipt,
): D {
  const { verb, key, slot, cost, maxWaitUs, wait } = request;
  const { terms } = bound;
  const beside = shadow ?? request.shadow;
  const isConsume = verb === VERBS.consume;
  const decision = isConsume ? saidOf(made, terms, beside) : labelled(made, terms, beside);
  const hasVote = terms?.hasVote !== false;
  const asks = asksForQuota(verb);
  if (asks) {
    counts.of(decision.policy, hasVote ? "own" : "none").add(decision, unitsOf(decision, cost));
    if (!decision.allowed) {
      events.to.denial?.({ limiter: name, policy: decision.policy, key, slot });
    }
  }
  const { decision: listener } = events.to;
  if (listener !== undefined) {
    const durationMs = atMs === 0 ? 0 : monotonicMs() - atMs;
    const policies = policiesIn(bound);
    const event = { limiter: name, verb: nameOf(verb), key, cost, decision, durationMs, policies };
    const isPlain = slot === undefined && maxWaitUs === undefined && hasVote;
    const onTrial = hasVote ? {} : { isShadow: true };
    if (isPlain) listener(event);
    else listener({ ...event, slot, maxWaitUs, readyAtUs: receipt?.readyAtUs, wait, ...onTrial });
  }
  if ((enforce && hasVote) || !asks) return decision;
  // The reason still says why it would not have passed. A partial grant becomes a whole one.
  return { ...decision, allowed: true, retryAfterMs: 0, ...wholeGrant(decision, cost) };
}

/** What was really taken is in `charged`, for callers that give back a part of the grant. */
function wholeGrant(decision: LimiterAnswer, cost: number): Partial<LimiterAnswer> {
  const { granted, charged = granted } = decision;
  return granted === undefined || charged === undefined ? {} : { granted: cost, charged };
}

/**
 * A consume's decision with the origin of its policies, and the verdicts of those on trial beside them. A literal of all
 * fields, because a copy that grows by two costs several times as much, and nearly every decision of a rule is one.
 */
export function saidOf<D extends Decision>(
  decision: D,
  terms: PolicyTerms | undefined,
  shadow: readonly PolicyVerdict[] | undefined,
): D {
  if (terms === undefined) return decision;
  const { rule, version, override } = terms.note;
  if (rule === undefined || version === undefined || decision.policies !== undefined) {
    return labelled(decision, terms, shadow);
  }
  const said: { -readonly [K in keyof Decision]: Decision[K] } = {
    allowed: decision.allowed,
    reason: decision.reason,
    limit: decision.limit,
    remaining: decision.remaining,
    retryAfterMs: decision.retryAfterMs,
    resetAfterMs: decision.resetAfterMs,
    decidedAtUs: decision.decidedAtUs,
    windowMs: decision.windowMs,
    policy: decision.policy,
    source: decision.source,
    rule,
    version,
  };
  if (shadow !== undefined) said.shadow = shadow;
  if (override !== undefined) said.override = override;
  return said as D;
}

/** The same for any decision. */
export function labelled<D extends Decision>(
  decision: D,
  terms: PolicyTerms | undefined,
  shadow: readonly PolicyVerdict[] | undefined,
): D {
  if (terms === undefined) return decision;
  const { rule, version, override } = terms.note;
  const said: { -readonly [K in keyof Decision]: Decision[K] } = { ...decision };
  if (shadow !== undefined) said.shadow = shadow;
  if (rule !== undefined) said.rule = rule;
  if (version !== undefined) said.version = version;
  if (override !== undefined) said.override = override;
  return said as D;
}

/**
 * A request rejects with `error`, which is returned, to be thrown: it is counted, and the listeners hear of it. `atMs` as
 * above.
 */
export function undecided(
  { name, events, counts }: ReportingLimiter,
  request: LimiterRequest,
  error: Error,
  atMs: number,
): Error {
  const { verb, key, slot, cost, signal, wait } = request;
  const aborted = isAbortedBy(signal, error);
  if (asksForQuota(verb)) {
    if (aborted) counts.aborted += 1;
    else counts.failed += 1;
  }
  const { undecided: listener } = events.to;
  if (listener !== undefined) {
    const durationMs = atMs === 0 ? 0 : monotonicMs() - atMs;
    const event = { limiter: name, verb: nameOf(verb), key, slot, cost };
    listener({ ...event, durationMs, error, aborted, wait });
  }
  return error;
}

/** The same, of a request that is given up by its caller before it is asked. */
export function gaveUp(limiter: ReportingLimiter, request: LimiterRequest): Error {
  return undecided(limiter, request, request.signal?.reason as Error, 0);
}

/** The granted units of a partial grant, else the requested units. */
function unitsOf(decision: Decision & { readonly granted?: number }, cost: number): number {
  return decision.allowed ? (decision.granted ?? cost) : cost;
}

/** The last stage of a request: the listeners hear of its decision, and in shadow mode everything passes. */
import { monotonicMs } from "../core/clock.js";
import type { ReservationReceipt } from "../algorithms/kernel.js";
import type { Decision } from "../core/decision.js";
import type { Events } from "../events/events.js";
import { policiesIn, type RuleHolder } from "./policies-in.js";
import { asksForQuota, type LimiterRequest, nameOf } from "./request.js";

/** Whose decisions are reported. */
export interface ReportingLimiter {
  /** As events name it. */
  readonly name: string;
  readonly events: Events;
  /** false in shadow mode. */
  readonly enforce: boolean;
}

/**
 * The decision as its caller gets it. `atMs` is when the request was prepared, 0 if the store was not asked; `bound` holds
 * the policies that decided, and `receipt` what the store promised.
 */
export function report<D extends Decision>(
  { name, events, enforce }: ReportingLimiter,
  request: LimiterRequest,
  decision: D,
  atMs: number,
  bound: readonly RuleHolder[],
  receipt?: ReservationReceipt,
): D {
  const { verb, key, slot, cost, maxWaitUs } = request;
  const { decision: listener } = events.to;
  if (listener !== undefined) {
    const durationMs = atMs === 0 ? 0 : monotonicMs() - atMs;
    const policies = policiesIn(bound);
    const event = { limiter: name, verb: nameOf(verb), key, cost, decision, durationMs, policies };
    if (slot === undefined && maxWaitUs === undefined) listener(event);
    else listener({ ...event, slot, maxWaitUs, readyAtUs: receipt?.readyAtUs });
  }
  if (enforce || !asksForQuota(verb)) return decision;
  // The reason still says why it would not have passed. A partial grant becomes a whole one.
  const grant = "granted" in decision ? { granted: cost } : {};
  return { ...decision, allowed: true, retryAfterMs: 0, ...grant };
}

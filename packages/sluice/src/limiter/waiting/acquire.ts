/** `acquire`: wait until the work may start. */
import { isAbortedBy } from "../../core/abort.js";
import { type Clock, monotonicUs, systemClock } from "../../core/clock.js";
import type { Decision, PolicyVerdict } from "../../core/decision.js";
import {
  MaxWaitExceededError,
  mayPass,
  QueueFullError,
  StoreUnavailableError,
} from "../../core/errors.js";
import { pauseMsAfter } from "../../core/pause.js";
import { beginWait } from "../../events/wait-counts.js";
import type { Pipeline } from "../pipeline.js";
import { isDecidedHere } from "../request.js";
import { waitHere } from "./wait-here.js";
import {
  type Granted,
  type Refused,
  reserveOnce,
  type ReserveAttempt,
  type ReserveRequest,
} from "./reserve.js";

/** Calls that were refused together must not come back together: they spread over a tenth of their wait, at most this. */
const MAX_JITTER_MS = 100;

/** What a wait came to: a start whose time has come, or the refusal. */
export interface AcquireOutcome extends ReserveAttempt {
  /** How long after its time the work may start, in this process's own time; 0 when it was refused. */
  readonly lateMs: number;
}

/** The decision on work whose time has come. */
export interface Start extends Decision {
  /** When it was allowed to start, on the store's clock: integer µs since the Unix epoch. */
  readonly readyAtUs: number;
  /** How much later it does, in this process's own time: milliseconds, never negative. */
  readonly lateMs: number;
}

/** Waits until the work may start; throws if it may not. */
export async function acquire(limiter: Pipeline, request: ReserveRequest): Promise<Start> {
  const outcome = await waitFor(limiter, request);
  if (!outcome.reservation.allowed) throw refusalOf(outcome);
  const { decision, readyAtUs } = outcome.reservation;
  return { ...decision, readyAtUs, lateMs: outcome.lateMs };
}

/** Waits, counts the wait, and lets the listeners know when it begins and ends. */
export async function waitFor(limiter: Pipeline, request: ReserveRequest): Promise<AcquireOutcome> {
  const { events, counts, name: caller } = limiter;
  const { key, slot, cost } = request;
  const { number: wait, end } = beginWait(events, counts.waits, { caller, key, slot, cost });
  try {
    const outcome = await untilAllowed(limiter, { ...request, wait });
    const { reservation, lateMs } = outcome;
    end({ outcome: reservation.allowed ? "started" : "refused", lateMs });
    return outcome;
  } catch (error) {
    const aborted = isAbortedBy(request.signal, error);
    end({ outcome: "failed", lateMs: 0, error, aborted });
    throw error;
  }
}

/**
 * If a start can be promised, this is one call to the store and a sleep. Else the call is repeated when the refusal said,
 * until `maxWaitUs` is over. It is also repeated while the store fails, with growing pauses; if this process decides
 * instead, the call waits in the process's own line until the store is back.
 */
async function untilAllowed(limiter: Pipeline, request: ReserveRequest): Promise<AcquireOutcome> {
  const { store } = limiter;
  const clock = store.clock ?? systemClock;
  const beganAtUs = monotonicUs(clock);
  let failures = 0;
  let shadow: readonly PolicyVerdict[] | undefined;
  // Whole µs: a wait of just maxWait is allowed, and a fraction of milliseconds would lose one now and then.
  let leftUs = request.maxWaitUs;
  for (;;) {
    const asked = { ...request, maxWaitUs: leftUs, shadow };
    const attempted = await attempt(limiter, asked, leftUs === 0);
    const { reservation } = attempted ?? {};
    // A policy without a vote is charged once, however often those with one are asked.
    shadow = reservation?.decision.shadow;
    const isHere = reservation !== undefined && isDecidedHere(reservation.decision.source);
    if (attempted !== undefined && reservation?.allowed === true && !isHere) {
      const answeredAtUs = monotonicUs(clock);
      await untilStart(reservation, clock, request.signal);
      const waitedMs = (monotonicUs(clock) - answeredAtUs) / 1e3;
      return { ...attempted, lateMs: waitedMs - reservation.delayMs };
    }
    if (attempted !== undefined && isHopeless(attempted, leftUs)) {
      return { ...attempted, lateMs: 0 };
    }
    if (attempted !== undefined && isHere) {
      const lateMs = await waitHere(limiter, request, reservation, leftUs / 1e3);
      if (lateMs !== undefined) return { ...attempted, lateMs };
      failures = 0;
    } else {
      const refused = reservation as Refused | undefined;
      failures = refused === undefined || refused.reason === "store" ? failures + 1 : 0;
      const pauseMs =
        refused === undefined || failures > 0
          ? pauseMsAfter(failures)
          : withJitter(refused.retryAfterMs, store.external);
      await clock.sleep(Math.min(pauseMs, leftUs / 1e3), request.signal);
    }
    leftUs = Math.max(0, Math.floor(request.maxWaitUs - (monotonicUs(clock) - beganAtUs)));
  }
}

/** Asks once. Undefined if the store fails, unless this is the last attempt: then the failure is thrown. */
async function attempt(
  limiter: Pipeline,
  request: ReserveRequest,
  isLast: boolean,
): Promise<ReserveAttempt | undefined> {
  try {
    return await reserveOnce(limiter, request);
  } catch (error) {
    if (isLast || !mayPass(error)) throw error;
    return undefined;
  }
}

function withJitter(retryAfterMs: number, isShared: boolean): number {
  return retryAfterMs + (isShared ? Math.random() * Math.min(MAX_JITTER_MS, retryAfterMs / 10) : 0);
}

/** Whether there is nothing to wait for: the answer is no, at once. */
function isHopeless({ reservation, isFinal }: ReserveAttempt, leftUs: number): boolean {
  if (reservation.allowed) return false;
  // A store that fails may be back at any time.
  if (reservation.reason === "store") return leftUs === 0;
  return isFinal || reservation.retryAfterMs * 1e3 > leftUs;
}

async function untilStart(
  reservation: Granted,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    signal?.throwIfAborted();
    if (reservation.delayMs > 0) await clock.sleep(reservation.delayMs, signal);
  } catch (error) {
    await reservation.cancel();
    throw error;
  }
}

function refusalOf({ reservation: { decision }, isQueueFull }: ReserveAttempt): Error {
  if (decision.reason === "store") {
    const why =
      decision.source === "local" ? "this process's memory is full" : "onStoreFailure is closed";
    return new StoreUnavailableError(`the store failed, and ${why}`);
  }
  return isQueueFull && decision.reason !== "blocked"
    ? new QueueFullError(decision.retryAfterMs, { decision })
    : new MaxWaitExceededError(decision.retryAfterMs, undefined, { decision });
}

/** `acquire`: wait until the work may start. */
import { type Clock, monotonicMs, monotonicUs, systemClock } from "../../core/clock.js";
import type { Decision } from "../../core/decision.js";
import { MaxWaitExceededError, QueueFullError, StoreUnavailableError } from "../../core/errors.js";
import type { WaitEnded } from "../../events/events.js";
import type { Pipeline } from "../pipeline.js";
import { type Granted, reserveOnce, type ReserveAttempt, type ReserveRequest } from "./reserve.js";

/** Those who were refused together do not come back together: they spread over a tenth of their wait, at most this. */
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

/** Waits until the work may start; throws where it may not. */
export async function acquire(limiter: Pipeline, request: ReserveRequest): Promise<Start> {
  const outcome = await waitFor(limiter, request);
  if (!outcome.reservation.allowed) throw refusalOf(outcome);
  const { decision, readyAtUs } = outcome.reservation;
  return { ...decision, readyAtUs, lateMs: outcome.lateMs };
}

/** Waits, and lets the listeners know when that begins and ends. */
export async function waitFor(limiter: Pipeline, request: ReserveRequest): Promise<AcquireOutcome> {
  const { waitBegun, waitEnded } = limiter.events.to;
  if (waitBegun === undefined && waitEnded === undefined) return untilAllowed(limiter, request);
  const { key, cost } = request;
  const wait = { caller: limiter.name, key, cost };
  const beganMs = monotonicMs();
  const end = (outcome: WaitEnded["outcome"], lateMs: number): void => {
    const waitedMs = monotonicMs() - beganMs;
    limiter.events.to.waitEnded?.({ ...wait, outcome, waitedMs, lateMs });
  };
  waitBegun?.(wait);
  try {
    const outcome = await untilAllowed(limiter, request);
    end(outcome.reservation.allowed ? "started" : "refused", outcome.lateMs);
    return outcome;
  } catch (error) {
    end("failed", 0);
    throw error;
  }
}

/**
 * A promised start where there is one: then this is one call to the store and a sleep. Else the call is made
 * again when the refusal said, until `maxWaitUs` is over.
 */
async function untilAllowed(limiter: Pipeline, request: ReserveRequest): Promise<AcquireOutcome> {
  const { store } = limiter;
  const clock = store.clock ?? systemClock;
  const beganAtUs = monotonicUs(clock);
  // Whole µs: a wait of just maxWait is allowed, and a fraction of milliseconds would lose one now and then.
  let leftUs = request.maxWaitUs;
  for (;;) {
    const attempted = await reserveOnce(limiter, { ...request, maxWaitUs: leftUs });
    const { reservation } = attempted;
    if (reservation.allowed) {
      const answeredAtUs = monotonicUs(clock);
      await untilStart(reservation, clock, request.signal);
      const waitedMs = (monotonicUs(clock) - answeredAtUs) / 1e3;
      return { ...attempted, lateMs: waitedMs - reservation.delayMs };
    }
    const { retryAfterMs } = reservation;
    if (isHopeless(attempted, leftUs)) return { ...attempted, lateMs: 0 };
    const jitterMs = store.external
      ? Math.random() * Math.min(MAX_JITTER_MS, retryAfterMs / 10)
      : 0;
    await clock.sleep(Math.min(retryAfterMs + jitterMs, leftUs / 1e3), request.signal);
    leftUs = Math.max(0, Math.floor(request.maxWaitUs - (monotonicUs(clock) - beganAtUs)));
  }
}

/** Whether there is nothing to wait for: the answer is no, at once. */
function isHopeless({ reservation, isFinal }: ReserveAttempt, leftUs: number): boolean {
  if (reservation.allowed) return false;
  return isFinal || reservation.reason === "store" || reservation.retryAfterMs * 1e3 > leftUs;
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
    return new StoreUnavailableError("the store failed, and onStoreFailure is closed");
  }
  return isQueueFull && decision.reason !== "blocked"
    ? new QueueFullError(decision.retryAfterMs)
    : new MaxWaitExceededError(decision.retryAfterMs);
}

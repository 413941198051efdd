/** `reserve`: a place in line, in one call to the store, and its cancellation. */
import { VERBS } from "../../algorithms/decide.js";
import type { ReservationReceipt } from "../../algorithms/kernel.js";
import { UNIT } from "../../core/amount.js";
import type { Decision, DecisionReason } from "../../core/decision.js";
import { CENTURY_US, type Duration } from "../../core/duration.js";
import { maxWaitMs } from "../../core/max-wait.js";
import type { Engine, Prepared } from "../engine.js";
import { checkCall } from "../options.js";

export interface WaitOptions {
  /** Units: 0 to 1e9 in whole thousandths; default 1. */
  readonly cost?: number;
  /** The longest wait; default Infinity, 0 = none. What would take longer is refused at once, and costs nothing. */
  readonly maxWait?: Duration;
  /** Ends the wait with its reason, and gives back what those behind were not promised. */
  readonly signal?: AbortSignal;
}

/** A promised start. */
export interface Granted {
  readonly allowed: true;
  /** Milliseconds from now until the work may start; whole µs, 0 = at once. */
  readonly delayMs: number;
  /** The same on the store's clock: integer µs since the Unix epoch. */
  readonly readyAtUs: number;
  readonly decision: Decision;
  /**
   * Gives back what nobody behind was promised; whether that was anything. Nothing comes back once the start
   * has passed. Never rejects: where the store fails, it says false and the hook `onError` is told.
   */
  cancel(): Promise<boolean>;
}

/** No start within `maxWait`. Nothing was taken. */
export interface Refused {
  readonly allowed: false;
  readonly reason: DecisionReason;
  /** Whole ms until the cost would fit if nobody else took any; Infinity if it never can. */
  readonly retryAfterMs: number;
  readonly decision: Decision;
}

export type Reservation = Granted | Refused;

/** What a wait was asked for, checked. */
export interface Wait {
  readonly key: string;
  readonly cost: number;
  readonly maxWaitUs: number;
  readonly signal: AbortSignal | undefined;
}

export function waitOf(key: string, options: WaitOptions): Wait {
  checkCall(options, ["cost", "maxWait", "signal"]);
  const { cost = 1, maxWait, signal } = options;
  // No delay is longer than a century, where debts saturate.
  const maxWaitUs = Math.min(CENTURY_US, Math.round(maxWaitMs(maxWait) * 1e3));
  return { key, cost, maxWaitUs, signal };
}

/** An attempt to get a start, with what `acquire` goes by when it was refused. */
export interface Attempt {
  readonly reservation: Reservation;
  /** Whether the refusal is final: no start could be promised, so another attempt would only jump the line. */
  readonly isFinal: boolean;
  /** Whether a queue has no room. */
  readonly isQueueFull: boolean;
}

/**
 * Asks once. Where no start can be promised ahead (windows, refills by interval, buckets that other limiters
 * use in other company), the answer is about now.
 */
export async function attempt(engine: Engine, wait: Wait): Promise<Attempt> {
  const { key, cost, maxWaitUs, signal } = wait;
  const prepared = engine.prepare(VERBS.reserve, key, { cost }, 0);
  const { call } = prepared;
  const hasLine =
    engine.isOwn(call.debits) &&
    call.debits.every(({ rule }) => rule.params.reservations !== undefined);
  if (hasLine) call.maxWaitUs = maxWaitUs;
  const outcome = await engine.askOne(prepared, signal, (late) => {
    // Nobody waits for this start any more.
    if (!(late instanceof Error)) void giveBack(engine, prepared, late.receipt);
  });

  let fallback: Reservation | undefined;
  const decision = await engine.conclude(prepared, outcome, async (to) => {
    const maxWait = maxWaitUs / 1e3;
    fallback = await to.reserve(key, { cost, maxWait, ...(signal !== undefined && { signal }) });
    return fallback.decision;
  });
  if (fallback !== undefined) {
    const reservation = { ...fallback, decision };
    return { reservation, isFinal: false, isQueueFull: false };
  }
  const answer = outcome instanceof Error ? undefined : outcome;
  const available = answer?.debits[0]?.available ?? 0;
  const [only] = call.debits.length === 1 ? call.debits : [];
  const isQueueFull =
    only?.rule.params.reservations?.strict === true && Math.round(cost * UNIT) > available;
  return {
    reservation: reservationOf(engine, prepared, decision, answer?.receipt),
    isFinal: hasLine && decision.reason === "quota",
    isQueueFull,
  };
}

function reservationOf(
  engine: Engine,
  prepared: Prepared,
  decision: Decision,
  receipt: ReservationReceipt | undefined,
): Reservation {
  const { reason, retryAfterMs, decidedAtUs } = decision;
  if (!decision.allowed) return { allowed: false, reason, retryAfterMs, decision };
  // A shadow never waits; without the store, nobody knows for how long.
  const delays = engine.enforce && receipt !== undefined;
  let cancelled: Promise<boolean> | undefined;
  return {
    allowed: true,
    delayMs: delays ? receipt.delayUs / 1e3 : 0,
    readyAtUs: delays ? receipt.readyAtUs : decidedAtUs,
    decision,
    cancel() {
      cancelled ??= giveBack(engine, prepared, receipt);
      return cancelled;
    },
  };
}

async function giveBack(
  engine: Engine,
  prepared: Prepared,
  receipt: ReservationReceipt | undefined,
): Promise<boolean> {
  if (receipt === undefined) return false;
  const { debits } = prepared.call;
  const call = { verb: VERBS.cancel, debits, blockUs: 0, maxWaitUs: 0, receipt };
  const outcome = await engine
    .askOne({ ...prepared, call })
    .catch((error: unknown) => error as Error);
  if (!(outcome instanceof Error)) return outcome.granted > 0;
  engine.failed(outcome, prepared.key, prepared.cost);
  return false;
}

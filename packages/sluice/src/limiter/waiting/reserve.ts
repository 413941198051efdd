/** `reserve`: a promised start, in one call to the store, and its cancellation. */
import { VERBS } from "../../algorithms/decide.js";
import { checkSignal } from "../../core/abort.js";
import { UNIT } from "../../core/amount.js";
import type { Decision, DecisionReason } from "../../core/decision.js";
import { CENTURY_US, type Duration } from "../../core/duration.js";
import type { SlotOption } from "../../core/key.js";
import { maxWaitMs } from "../../core/max-wait.js";
import { unchecked, optionReader } from "../../core/options.js";
import { checkCall } from "../options.js";
import type { LimiterAnswer, LimiterRequest, RequestRunner, Reserved } from "../request.js";

/** Options of `reserve` and `acquire`. */
export interface WaitOptions extends SlotOption {
  /** Units: 0 to 1e9 in whole thousandths; default 1. */
  readonly cost?: number | undefined;
  /**
   * The longest wait, up to 100 years; default Infinity, 0 = none. What would take longer is refused at once, and costs
   * nothing.
   */
  readonly maxWait?: Duration | undefined;
  /** Ends the wait with its reason, and gives back what those behind were not promised. */
  readonly signal?: AbortSignal | undefined;
}

/** A promised start. */
export interface Granted {
  /** Always true. */
  readonly allowed: true;
  /** Milliseconds from now until the work may start; whole µs, 0 = at once. */
  readonly delayMs: number;
  /** The same on the store's clock: integer µs since the Unix epoch. */
  readonly readyAtUs: number;
  /** The decision behind it. */
  readonly decision: Decision;
  /**
   * Gives back what was not promised to a call behind; true if that was anything. Nothing comes back once the start has
   * passed. Never rejects: if the store fails, it says false and the hook `onError` is called.
   */
  cancel(): Promise<boolean>;
}

/** No start within `maxWait`. Nothing was taken. */
export interface Refused {
  /** Always false. */
  readonly allowed: false;
  /** Why no start is within `maxWait`. */
  readonly reason: DecisionReason;
  /** Whole ms until the cost would fit if no other call took any; Infinity if it never can. */
  readonly retryAfterMs: number;
  /** The decision behind it. */
  readonly decision: Decision;
}

/** What `reserve` answers: a start, or that there is none in time. */
export type Reservation = Granted | Refused;

/** The request of a waiting caller, checked. */
export type ReserveRequest = LimiterRequest & { readonly maxWaitUs: number };

const WAIT_OPTIONS = optionReader<WaitOptions>()({
  ...unchecked("cost", "maxWait", "slot"),
  signal: checkSignal,
});

export function reserveRequest(key: string, options: WaitOptions): ReserveRequest {
  checkCall(options, WAIT_OPTIONS);
  const { cost = 1, maxWait, signal, slot } = options;
  // No delay is longer than a century: debts are capped there.
  const maxWaitUs = Math.min(CENTURY_US, Math.round(maxWaitMs(maxWait) * 1e3));
  return { verb: VERBS.reserve, key, slot, cost, maxWaitUs, signal };
}

/** One attempt to get a start, with what `acquire` goes by when it was refused. */
export interface ReserveAttempt {
  readonly reservation: Reservation;
  /** Whether the refusal is final: no start could be promised, so another attempt would only jump the queue. */
  readonly isFinal: boolean;
  /** Whether a strict queue has no room. */
  readonly isQueueFull: boolean;
}

/**
 * Asks once. If no start can be promised ahead (windows, refills by interval in a set, buckets that other limiters use in
 * other company), the answer is about now.
 */
export async function reserveOnce(
  limiter: RequestRunner,
  request: ReserveRequest,
): Promise<ReserveAttempt> {
  const answer = await limiter.run(request);
  const { reserved, ...decision } = answer as LimiterAnswer & { readonly reserved: Reserved };
  const { call, result, canReserve } = reserved;
  const reservation = reservationOf(decision, reserved);
  // A fallback's refusal is its own: it may be asked again.
  if (decision.source === "fallback") return { reservation, isFinal: false, isQueueFull: false };
  const available = result?.debits[0]?.available ?? 0;
  const [only] = call.debits.length === 1 ? call.debits : [];
  const isStrict = only?.rule.params.reservations?.strict === true;
  return {
    reservation,
    isFinal: canReserve && decision.reason === "quota",
    isQueueFull: isStrict && Math.round(request.cost * UNIT) > available,
  };
}

function reservationOf(decision: Decision, { result, enforce, cancel }: Reserved): Reservation {
  const { reason, retryAfterMs, decidedAtUs } = decision;
  if (!decision.allowed) return { allowed: false, reason, retryAfterMs, decision };
  // In shadow mode no call waits; without the store, it is not known for how long.
  const receipt = enforce ? result?.receipt : undefined;
  let cancelled: Promise<boolean> | undefined;
  return {
    allowed: true,
    delayMs: receipt === undefined ? 0 : receipt.delayUs / 1e3,
    readyAtUs: receipt?.readyAtUs ?? decidedAtUs,
    decision,
    cancel() {
      cancelled ??= cancel();
      return cancelled;
    },
  };
}

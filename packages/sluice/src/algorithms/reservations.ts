/**
 * Waiting in line: `reserve` promises a start, `cancel` gives one back. Twin: reservations.lua, statement by
 * statement. Maths and proofs: bucket/README.md.
 *
 * A call's own buckets are charged at once, each as if the work started as soon as that bucket lets it; the
 * slowest of them says when it does start. Every bucket records all reservations. If the same calls charge all of the
 * buckets, the records are equal and one receipt fits all; otherwise they differ, and nothing can be given back.
 */
import {
  type ReservationCharge,
  type ReservationReceipt,
  type Reservations,
  type State,
  UNLIMITED,
} from "./kernel.js";
import { ready, type DebitState, REASON, type CallResult } from "./debit.js";

/** Forgets a line whose last start has passed: no call can give anything back any more. */
export function expireReservations(state: State, nowUs: number): void {
  const { reservations } = state;
  if (reservations !== undefined && reservations.endsUs < nowUs) state.reservations = undefined;
}

/**
 * What is left of a line that a reset forgets: nothing, unless another could open by the same time, and take the
 * receipts of this one for its own. Then an empty one with a later time, which it keeps until that has passed.
 */
export function emptied(
  reservations: Reservations | undefined,
  rawUs: number,
  nowUs: number,
): Reservations | undefined {
  if (reservations === undefined || reservations.openedUs < rawUs) return undefined;
  const openedUs = Math.max(reservations.openedUs, nowUs) + 1;
  return { openedUs, sold: 0, endsUs: openedUs };
}

/** Notes what was admitted behind those who wait. */
export function record(state: State, amount: number): void {
  const { reservations } = state;
  if (reservations === undefined || reservations.sold === 0) return;
  state.reservations = { ...reservations, sold: reservations.sold + amount };
}

/**
 * The most that may come back: what lies behind the last promised start. All that the line has sold may be in use
 * then, so that much must stay.
 */
export function refundable(debits: readonly DebitState[], count: number): number {
  let most = Number.POSITIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    const { kernel, params, state, nowUs } = debits[i] as DebitState;
    const { reservations } = state;
    if (reservations === undefined || reservations.sold === 0) continue;
    if (kernel.levelAt === undefined || params.capacity === UNLIMITED) continue;
    const behind = kernel.levelAt(state, params, reservations.endsUs, nowUs) - reservations.sold;
    if (behind < most) most = behind;
  }
  return most > 0 ? most : 0;
}

/**
 * Admits the call now, or for the time at which all of it fits, unless that is more than `maxWaitUs` away.
 * Returns the wait for which it refused, else 0.
 */
export function reserve(
  debits: readonly DebitState[],
  count: number,
  rawUs: number,
  maxWaitUs: number,
  result: CallResult,
): number {
  const { nowUs } = result;
  const first = debits[0] as DebitState;
  // Only alone: in a set the others may hold a start back, and then its turn would pass unused.
  const isQueue = count === 1 && first.params.reservations?.strict === true;
  let waitUs = 0;
  let isFull = false;
  let canWait = true;
  for (let i = 0; i < count; i++) {
    const debit = debits[i] as DebitState;
    const { kernel, params, state, cost } = debit;
    if (debit.reason > REASON.quota) return 0;
    debit.waitUs = 0;
    if (isQueue) debit.waitUs = kernel.timeToFull(state, params, debit.nowUs);
    else if (debit.reason === REASON.quota) {
      debit.waitUs = kernel.timeUntil(state, params, cost, debit.nowUs);
    }
    const available = kernel.available(state, params, debit.nowUs);
    if (isQueue && cost > available) isFull = true;
    const inUse = params.capacity - available + cost;
    const rules = params.reservations;
    if (rules === undefined || inUse > rules.maximum || (rules.alone && count > 1)) canWait = false;
    if (debit.waitUs > waitUs) waitUs = debit.waitUs;
  }
  const delayUs = waitUs > 0 ? waitUs + nowUs - rawUs : 0;
  if (isFull || delayUs > maxWaitUs || (delayUs > 0 && !canWait)) {
    if (!isQueue || isFull) return 0;
    first.reason = REASON.quota;
    return delayUs;
  }
  if (!ready(debits, count, result)) return 0;

  const charges = charge(debits, count, isQueue, waitUs, result);
  const reservations = sameReservations(debits, count) ? first.state.reservations : NO_RECEIPT;
  result.receipt = {
    readyAtUs: nowUs + waitUs,
    delayUs,
    openedUs: reservations === undefined ? nowUs : reservations.openedUs,
    sold: reservations === undefined ? 0 : reservations.sold,
    charges,
  };
  return 0;
}

/** Charges every debit, and puts the call at the end of each line if its start is `waitUs` away. */
function charge(
  debits: readonly DebitState[],
  count: number,
  isQueue: boolean,
  waitUs: number,
  result: CallResult,
): readonly ReservationCharge[] {
  const { nowUs } = result;
  const charges: ReservationCharge[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    const debit = debits[i] as DebitState;
    const { kernel, params, state, cost } = debit;
    debit.reason = REASON.ok;
    if (cost < least) least = cost;
    let extra = 0;
    const line = state.reservations;
    const endedUs = line === undefined ? 0 : line.endsUs;
    const lastStartUs = line === undefined || line.sold === 0 ? 0 : endedUs;
    if (cost > 0) {
      if (debit.waitUs > 0 && kernel.reserve !== undefined) {
        extra = kernel.reserve(state, params, cost, isQueue, debit.waitUs, debit.nowUs);
        // If the start is before others, a refund may already have given back what it took beyond the cost.
        if (nowUs + waitUs <= lastStartUs && params.reservations?.alone !== true) extra = 0;
      } else kernel.take(state, params, cost, debit.nowUs);
      record(state, cost);
      if (waitUs > 0) append(debit, nowUs + waitUs, nowUs);
      result.changed = true;
    }
    charges.push({ extra, endedUs });
  }
  result.granted = least;
  return charges;
}

/** A receipt that gives nothing back: the calls behind it differ from bucket to bucket. */
const NO_RECEIPT = { openedUs: -1, sold: 0 };

/** Whether the same calls wait in the lines of all debits, as far as the lines can show. */
function sameReservations(debits: readonly DebitState[], count: number): boolean {
  const { reservations } = (debits[0] as DebitState).state;
  for (let i = 1; i < count; i++) {
    const other = (debits[i] as DebitState).state.reservations;
    if (other?.openedUs !== reservations?.openedUs) return false;
    if (other?.sold !== reservations?.sold) return false;
  }
  return true;
}

/** Puts the newest of the line, who starts at `readyAtUs`, at its end. */
function append({ state, cost }: DebitState, readyAtUs: number, nowUs: number): void {
  const { reservations } = state;
  if (reservations === undefined) {
    state.reservations = { openedUs: nowUs, sold: cost, endsUs: readyAtUs };
  } else {
    const { openedUs, sold, endsUs } = reservations;
    state.reservations = {
      openedUs,
      sold: sold === 0 ? cost : sold,
      endsUs: readyAtUs > endsUs ? readyAtUs : endsUs,
    };
  }
}

/**
 * Gives a receipt's cost back, less what was admitted after it: those behind were promised starts that count
 * on its being in use. Nothing comes back once its start has passed.
 */
export function cancel(
  debits: readonly DebitState[],
  count: number,
  receipt: ReservationReceipt | undefined,
  result: CallResult,
): void {
  if (receipt === undefined || receipt.readyAtUs < result.nowUs) return;
  if (receipt.openedUs === NO_RECEIPT.openedUs || !sameReservations(debits, count)) return;
  const { kernel, params, state } = debits[0] as DebitState;
  const { reservations } = state;
  // After a reset, what is in use is not this receipt's.
  const isGone =
    reservations === undefined
      ? receipt.sold > 0 || receipt.openedUs !== result.nowUs
      : reservations.openedUs !== receipt.openedUs;
  const later = reservations === undefined ? 0 : reservations.sold - receipt.sold;
  if (isGone || later < 0) return;

  // Giving back only a part leaves a gap in the schedule. One plain bucket may fill it within its bound. A strict queue
  // would start calls too close together, and with several buckets the faster ones have already drained.
  const canSplit = count === 1 && params.reservations?.strict !== true;
  let most = Number.POSITIVE_INFINITY;
  // Refills come in steps: less than the capacity may be in use at the last start, and those behind count on all of it.
  if (later > 0 && reservations !== undefined && params.reservations?.alone === true) {
    most = kernel.levelAt?.(state, params, reservations.endsUs, result.nowUs) ?? 0;
  }
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    const debit = debits[i] as DebitState;
    const charged = receipt.charges[i] as ReservationCharge;
    let amount = debit.cost;
    if (later > 0) amount = canSplit ? Math.max(0, Math.min(amount, most) - later) : 0;
    if (amount < least) least = amount;
    if (amount > 0) {
      debit.kernel.giveBack(debit.state, debit.params, amount, later > 0 ? 0 : charged.extra);
      if (later === 0) unrecord(debit.state, receipt, amount, charged.endedUs);
      result.changed = true;
    }
  }
  result.granted = least;
}

/** Takes the last of the line off its end, which is then where it was before. */
function unrecord(
  state: State,
  { sold }: ReservationReceipt,
  amount: number,
  endedUs: number,
): void {
  const { reservations } = state;
  // Who did not wait is not in the line.
  if (reservations === undefined || sold < amount) return;
  const left = reservations.sold - amount;
  state.reservations =
    left === 0 && endedUs === 0 ? undefined : { ...reservations, sold: left, endsUs: endedUs };
}

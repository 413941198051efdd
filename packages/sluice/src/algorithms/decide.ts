/**
 * The verbs, written once over all kernels: this file decides whether a call is allowed; a kernel only says what is
 * available. For speed the same decision exists in other forms, and tests hold them to this one:
 *
 *   decide           any verb, any number of policies: the pure kernels, the memory store
 *   decide.lua       its twin, in Redis; `measure` is inline there, where a function call costs as much as one of its lines
 *   consumeOne       a consume on one policy, in memory; its twin consume-one.lua, for many on one key in Redis
 *   <name>/fast.lua  consumes that fit, or are denied by quota, and meet nothing unusual, in Redis
 *   <name>/fast.ts   one such consume on the row that memory keeps its state in
 *
 * A call has debits: one a policy (or one a limiter and key, for calls over several). It is all or
 * nothing: every debit is checked before any is changed.
 */
import { UNIT } from "../core/amount.js";
import { type ReservationReceipt, READY, type RowAnswer, UNLIMITED } from "./kernel.js";
import {
  cancel,
  emptied,
  expireReservations,
  record,
  refundable,
  reserve,
} from "./reservations.js";
import { NEVER, ready, type DebitState, REASON, type CallResult, toOneTime } from "./debit.js";

export { NEVER, type DebitState, REASON, type CallResult } from "./debit.js";

/** What a call does. The numbers are the wire's. */
export const VERBS = Object.freeze({
  consume: 1,
  consumeUpTo: 2,
  peek: 3,
  refund: 4,
  penalize: 5,
  block: 6,
  unblock: 7,
  reset: 8,
  reserve: 9,
  cancel: 10,
  /** A block that leaves a longer one as it is. */
  extendBlock: 11,
  /** Both, forgetting what the key has in use. */
  clearBlock: 12,
  clearExtendBlock: 13,
});
/** What a call to a store does. */
export type VerbName = keyof typeof VERBS;
/** The number of a verb on the wire. */
export type Verb = (typeof VERBS)[VerbName];

/** What a call asks for, beside its debits. */
export interface VerbCall {
  readonly verb: Verb;
  /** How long block and extendBlock block, or a denied consume; 0 = not. */
  readonly blockUs: number;
  /** The longest wait that reserve takes. */
  readonly maxWaitUs: number;
  /** What cancel gives back. */
  readonly receipt?: ReservationReceipt | undefined;
}

/**
 * A state may be forgotten once it is the same as a fresh one. Its expiry is later than that, by this or by as long again,
 * so that not every call has to move it.
 */
const MIN_SLACK_US = 1e6;

/**
 * Decides `debits[0..count)`, each at its own `rawUs`; `rawUs` is the first one's. Changes debits and result in place.
 */
export function decide(
  { verb, blockUs, maxWaitUs, receipt }: VerbCall,
  debits: readonly DebitState[],
  count: number,
  rawUs: number,
  result: CallResult,
): void {
  for (let i = 0; i < count; i++) {
    const { kernel, state, rawUs: ownUs } = debits[i] as DebitState;
    if (state.expiryMs > 0 && ownUs >= state.expiryMs * 1e3) kernel.clear(state);
  }
  result.readiness = READY;
  result.nowUs = toOneTime(debits, count, rawUs);
  result.granted = 0;
  result.changed = false;
  result.receipt = undefined;
  for (let i = 0; i < count; i++) {
    const debit = debits[i] as DebitState;
    debit.kernel.advance(debit.state, debit.params, debit.nowUs);
    expireReservations(debit.state, debit.nowUs);
  }

  if (verb === VERBS.cancel) cancel(debits, count, receipt, result);
  else if (verb >= VERBS.refund) change(verb, debits, count, blockUs, result);
  let fits = true;
  let barred = false;
  for (let i = 0; i < count; i++) {
    const debit = debits[i] as DebitState;
    const { kernel, state, params, nowUs } = debit;
    let asked = 0;
    if (verb === VERBS.consume || verb === VERBS.peek || verb === VERBS.reserve) asked = debit.cost;
    else if (verb === VERBS.consumeUpTo) asked = UNIT;
    debit.asked = asked;
    if (asked > params.capacity) debit.reason = REASON.tooCostly;
    else if (debit.rawUs < state.blockedUntilUs) debit.reason = REASON.blocked;
    else debit.reason = asked > kernel.available(state, params, nowUs) ? REASON.quota : REASON.ok;
    if (debit.reason !== REASON.ok) fits = false;
    // A cost of 0 changes nothing: even if it is denied, because of a debt, it starts no block.
    if (debit.reason > REASON.quota || asked === 0) barred = true;
  }
  let refusedUs = 0;
  if (verb === VERBS.reserve) refusedUs = reserve(debits, count, rawUs, maxWaitUs, result);
  else if (fits && verb <= VERBS.consumeUpTo) grant(verb, debits, count, result);
  else if (!fits && !barred && verb === VERBS.consume && blockUs > 0) {
    block(debits, count, blockUs, result);
  }

  for (let i = 0; i < count; i++) {
    const debit = debits[i] as DebitState;
    debit.available = debit.kernel.available(debit.state, debit.params, debit.nowUs);
    measure(debit, debit.asked, debit.rawUs, debit.nowUs, result.changed);
    // A queue refuses what would fit, if it had to wait too long for its turn.
    if (refusedUs > debit.waitUs && debit.reason === REASON.quota) debit.waitUs = refusedUs;
  }
}

/** Waits count from the raw clock, so that "admitted after this wait" holds even if it went back. */
function measure(
  debit: DebitState,
  asked: number,
  rawUs: number,
  nowUs: number,
  changed: boolean,
): void {
  const { kernel, state, params, reason, available } = debit;
  const behindUs = nowUs - rawUs;
  const blockedUs = state.blockedUntilUs > rawUs ? state.blockedUntilUs - rawUs : 0;
  let waitUs = 0;
  if (reason === REASON.tooCostly) {
    waitUs = NEVER;
  } else if (reason !== REASON.ok) {
    if (asked > available) waitUs = kernel.timeUntil(state, params, asked, nowUs) + behindUs;
    if (blockedUs > waitUs) waitUs = blockedUs;
  }
  let resetUs = kernel.timeToFull(state, params, nowUs);
  const { reservations } = state;
  if (reservations !== undefined && reservations.endsUs - nowUs >= resetUs) {
    resetUs = reservations.endsUs + 1 - nowUs;
  }
  if (resetUs > 0) resetUs += behindUs;
  if (blockedUs > resetUs) resetUs = blockedUs;

  const expiresAtUs = state.expiryMs * 1e3;
  if (changed) {
    state.lastUs = nowUs;
    // Not before the clock has caught up, or the key would forget that the clock went back.
    const soonestUs = resetUs > behindUs ? rawUs + resetUs : nowUs;
    state.expiryMs = expiryAfter(state.expiryMs, soonestUs, resetUs);
  } else if (expiresAtUs > 0) {
    // What is not written is forgotten at the time that its last change set, even if slower options need longer.
    const leftUs = expiresAtUs - rawUs;
    if (waitUs > leftUs) waitUs = leftUs;
    if (resetUs > leftUs) resetUs = leftUs;
  }
  debit.waitUs = waitUs;
  debit.resetUs = resetUs;
}

/**
 * The expiry in ms of a changed state that may be forgotten at `soonestUs`, in `resetUs`. One that still fits stays as it
 * is: in Redis that costs half as much as a new one, in memory the key keeps its place.
 */
export function expiryAfter(expiryMs: number, soonestUs: number, resetUs: number): number {
  const expiresAtUs = expiryMs * 1e3;
  const latestUs = soonestUs + (resetUs > MIN_SLACK_US ? resetUs : MIN_SLACK_US);
  const fits = expiresAtUs >= soonestUs && expiresAtUs <= latestUs;
  return fits ? expiryMs : Math.floor(latestUs / 1e3);
}

/** The answer of a consume on a row that changed it. Returns true, as all that decides on rows does. */
export function admitted(answer: RowAnswer, available: number, resetUs: number): true {
  answer.reason = REASON.ok;
  answer.available = available;
  answer.waitUs = 0;
  answer.resetUs = resetUs;
  return true;
}

/** The same for a call that changed nothing: its cost was 0, or it has to wait. The row is forgotten in `leftUs`. */
export function unchanged(
  answer: RowAnswer,
  available: number,
  waitUs: number,
  resetUs: number,
  leftUs: number,
): true {
  answer.reason = waitUs > 0 ? REASON.quota : REASON.ok;
  answer.available = available;
  answer.waitUs = waitUs > leftUs ? leftUs : waitUs;
  answer.resetUs = resetUs > leftUs ? leftUs : resetUs;
  return true;
}

/**
 * `decide` for consume on one debit: the call that a store in memory makes millions of times a second, without
 * loops. The conformance suite holds it to `decide`, which the pure kernels use.
 */
export function consumeOne(
  debit: DebitState,
  rawUs: number,
  blockUs: number,
  result: CallResult,
): void {
  const { kernel, state, params, cost } = debit;
  if (state.expiryMs > 0 && rawUs >= state.expiryMs * 1e3) kernel.clear(state);
  const nowUs = state.lastUs > rawUs ? state.lastUs : rawUs;
  debit.nowUs = nowUs;
  result.readiness = READY;
  result.nowUs = nowUs;
  result.granted = 0;
  result.receipt = undefined;
  kernel.advance(state, params, nowUs);
  if (state.reservations !== undefined) expireReservations(state, nowUs);

  let available = kernel.available(state, params, nowUs);
  let reason: number = REASON.ok;
  if (cost > params.capacity) reason = REASON.tooCostly;
  else if (rawUs < state.blockedUntilUs) reason = REASON.blocked;
  else if (cost > available) reason = REASON.quota;
  let changed = false;
  if (reason === REASON.ok) {
    if (cost > 0) {
      if (kernel.ready !== undefined) result.readiness = kernel.ready(state, params, nowUs);
      changed = result.readiness === READY;
    }
    if (changed) {
      kernel.take(state, params, cost, nowUs);
      if (state.reservations !== undefined) record(state, cost);
      available = kernel.available(state, params, nowUs);
      result.granted = cost;
    }
  } else if (reason === REASON.quota && blockUs > 0 && cost > 0) {
    state.blockedUntilUs = Math.min(rawUs + blockUs, FOREVER_US);
    changed = true;
  }
  result.changed = changed;
  debit.reason = reason;
  debit.available = available;
  measure(debit, cost, rawUs, nowUs, changed);
}

/** Takes each debit's cost (consume), or as many whole units as the poorest debit has (consumeUpTo). */
function grant(verb: Verb, debits: readonly DebitState[], count: number, result: CallResult): void {
  let most = Number.POSITIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    const debit = debits[i] as DebitState;
    if (debit.cost < most) most = debit.cost;
    if (verb === VERBS.consumeUpTo) {
      const available = debit.kernel.available(debit.state, debit.params, debit.nowUs);
      most = Math.min(most, Math.floor(available / UNIT) * UNIT);
    }
  }
  if (!ready(debits, count, result)) return;
  for (let i = 0; i < count; i++) {
    const debit = debits[i] as DebitState;
    const amount = verb === VERBS.consumeUpTo ? most : debit.cost;
    if (amount > 0) {
      debit.kernel.take(debit.state, debit.params, amount, debit.nowUs);
      record(debit.state, amount);
      result.changed = true;
    }
  }
  result.granted = most;
}

/** A block until then holds until it is lifted: in the year 2255. No clock of today is half as far. */
export const FOREVER_US = 2 ** 53;

/** Blocks each debit for `blockUs`, 0 = not any more; with `keepsLonger` only those that are not blocked for as long. */
function block(
  debits: readonly DebitState[],
  count: number,
  blockUs: number,
  result: CallResult,
  keepsLonger = false,
): void {
  for (let i = 0; i < count; i++) {
    const { state, rawUs } = debits[i] as DebitState;
    const untilUs = blockUs === 0 ? 0 : rawUs + blockUs;
    if (keepsLonger && state.blockedUntilUs >= untilUs) continue;
    state.blockedUntilUs = untilUs > FOREVER_US ? FOREVER_US : untilUs;
    result.changed = true;
  }
}

/** Makes each debit's key one never seen, but for its block. */
function forget(debits: readonly DebitState[], count: number, result: CallResult): void {
  for (let i = 0; i < count; i++) {
    const { kernel, state, params, rawUs, nowUs } = debits[i] as DebitState;
    const { blockedUntilUs, reservations } = state;
    kernel.clear(state);
    kernel.advance(state, params, nowUs);
    state.blockedUntilUs = blockedUntilUs;
    state.reservations = emptied(reservations, rawUs, nowUs);
  }
  result.changed = true;
}

/** The verbs that change a state whatever it holds. */
function change(
  verb: Verb,
  debits: readonly DebitState[],
  count: number,
  blockUs: number,
  result: CallResult,
): void {
  if (verb >= VERBS.clearBlock) forget(debits, count, result);
  if (verb === VERBS.block || verb >= VERBS.extendBlock) {
    const keepsLonger = verb === VERBS.extendBlock || verb === VERBS.clearExtendBlock;
    block(debits, count, blockUs, result, keepsLonger);
  } else if (verb === VERBS.unblock) {
    block(debits, count, 0, result);
  } else if (verb === VERBS.refund) {
    refund(debits, count, result);
  } else if (verb === VERBS.penalize && ready(debits, count, result)) {
    for (let i = 0; i < count; i++) {
      const { kernel, state, params, cost, nowUs } = debits[i] as DebitState;
      if (cost > 0) {
        kernel.take(state, params, cost, nowUs);
        result.changed = true;
      }
    }
  } else if (verb === VERBS.reset) {
    block(debits, count, 0, result);
    forget(debits, count, result);
  }
}

/** Gives each debit's cost back, as far as it is in use and is not promised to a waiting call. */
function refund(debits: readonly DebitState[], count: number, result: CallResult): void {
  const most = refundable(debits, count);
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    const { kernel, state, params, cost, nowUs } = debits[i] as DebitState;
    const amount = Math.min(cost, most);
    const before = kernel.available(state, params, nowUs);
    if (amount > 0) {
      kernel.giveBack(state, params, amount);
      result.changed = true;
    }
    if (params.capacity === UNLIMITED) continue;
    least = Math.min(least, kernel.available(state, params, nowUs) - before);
  }
  result.granted = least === Number.POSITIVE_INFINITY ? 0 : least;
}

/**
 * The verbs, written once over all kernels. Twin: lua/decide.lua, statement by statement.
 *
 * A call has seats: one a policy (or one a limiter and key, for calls over several). It is all or
 * nothing: every seat is checked before any is changed.
 */
import { UNIT } from "../core/amount.js";
import type { Kernel, Params, Readiness, State } from "./kernel.js";
import { READY } from "./kernel.js";

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
});
export type VerbName = keyof typeof VERBS;
export type Verb = (typeof VERBS)[VerbName];

/** How a seat stands. */
export const STANDING = Object.freeze({ ok: 0, quota: 1, tooCostly: 2, blocked: 3 });

/** `waitUs` of a cost that can never fit. */
export const NEVER = -1;

/** One policy at work on one key, with room for the answer. */
export interface Seat {
  kernel: Kernel;
  params: Params;
  state: State;
  /** What the caller named, in thousandths. */
  cost: number;
  standing: number;
  room: number;
  waitUs: number;
  resetUs: number;
}

/** The answer that all seats of a call share. */
export interface Verdict {
  /** READY, or why nothing was done. */
  readiness: Readiness;
  /** The time of the decision: the raw clock, raised to the last change of any seat. */
  nowUs: number;
  /** Thousandths taken by consume and consumeUpTo. */
  granted: number;
  /** Whether the seats' states must be stored. */
  changed: boolean;
}

/** Decides `seats[0..count)` at `rawUs`; `extraUs` is the length of a block. Changes seats and verdict in place. */
export function decide(
  verb: Verb,
  seats: readonly Seat[],
  count: number,
  rawUs: number,
  extraUs: number,
  verdict: Verdict,
): void {
  let nowUs = rawUs;
  for (let i = 0; i < count; i++) {
    const { kernel, state } = seats[i] as Seat;
    if (state.expiryMs > 0 && rawUs >= state.expiryMs * 1e3) kernel.clear(state);
    nowUs = Math.max(nowUs, state.lastUs);
  }
  verdict.readiness = READY;
  verdict.nowUs = nowUs;
  verdict.granted = 0;
  verdict.changed = false;
  for (let i = 0; i < count; i++) {
    const seat = seats[i] as Seat;
    seat.kernel.advance(seat.state, seat.params, nowUs);
  }

  if (verb >= VERBS.refund) change(verb, seats, count, rawUs, extraUs, verdict);
  let fits = true;
  let barred = false;
  for (let i = 0; i < count; i++) {
    const seat = seats[i] as Seat;
    seat.standing = standing(seat, asked(verb, seat), rawUs, nowUs);
    if (seat.standing !== STANDING.ok) fits = false;
    if (seat.standing > STANDING.quota) barred = true;
  }
  if (fits && verb <= VERBS.consumeUpTo) grant(verb, seats, count, verdict);
  else if (!fits && !barred && verb === VERBS.consume && extraUs > 0) {
    block(seats, count, rawUs + extraUs, verdict);
  }

  for (let i = 0; i < count; i++) {
    const seat = seats[i] as Seat;
    measure(seat, asked(verb, seat), rawUs, nowUs);
    if (verdict.changed) {
      seat.state.lastUs = nowUs;
      expire(seat, rawUs);
    } else {
      outlive(seat, rawUs);
    }
  }
}

/** The cost that the answer is about: consumeUpTo asks for one unit, give-back verbs for nothing. */
function asked(verb: Verb, seat: Seat): number {
  if (verb === VERBS.consume || verb === VERBS.peek) return seat.cost;
  return verb === VERBS.consumeUpTo ? UNIT : 0;
}

function standing(seat: Seat, cost: number, rawUs: number, nowUs: number): number {
  if (cost > seat.params.capacity) return STANDING.tooCostly;
  if (rawUs < seat.state.blockedUntilUs) return STANDING.blocked;
  return cost > seat.kernel.room(seat.state, seat.params, nowUs) ? STANDING.quota : STANDING.ok;
}

/** Takes each seat's cost (consume), or as many whole units as the poorest seat has (consumeUpTo). */
function grant(verb: Verb, seats: readonly Seat[], count: number, verdict: Verdict): void {
  let most = Number.POSITIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    const seat = seats[i] as Seat;
    most = Math.min(most, seat.cost);
    if (verb === VERBS.consumeUpTo) {
      const room = seat.kernel.room(seat.state, seat.params, verdict.nowUs);
      most = Math.min(most, Math.floor(room / UNIT) * UNIT);
    }
  }
  if (!ready(seats, count, verdict)) return;
  for (let i = 0; i < count; i++) {
    const seat = seats[i] as Seat;
    take(seat, verb === VERBS.consumeUpTo ? most : seat.cost, verdict);
  }
  verdict.granted = most;
}

function ready(seats: readonly Seat[], count: number, verdict: Verdict): boolean {
  for (let i = 0; i < count; i++) {
    const seat = seats[i] as Seat;
    if (seat.cost > 0 && seat.kernel.ready !== undefined) {
      verdict.readiness = seat.kernel.ready(seat.state, seat.params, verdict.nowUs);
      if (verdict.readiness !== READY) return false;
    }
  }
  return true;
}

function take(seat: Seat, amount: number, verdict: Verdict): void {
  if (amount === 0) return;
  seat.kernel.take(seat.state, seat.params, amount, verdict.nowUs);
  verdict.changed = true;
}

function block(seats: readonly Seat[], count: number, untilUs: number, verdict: Verdict): void {
  for (let i = 0; i < count; i++) (seats[i] as Seat).state.blockedUntilUs = untilUs;
  verdict.changed = true;
}

/** The verbs that change a state whatever it holds. */
function change(
  verb: Verb,
  seats: readonly Seat[],
  count: number,
  rawUs: number,
  extraUs: number,
  verdict: Verdict,
): void {
  if (verb === VERBS.block) block(seats, count, rawUs + extraUs, verdict);
  else if (verb === VERBS.unblock) block(seats, count, 0, verdict);
  else if (verb === VERBS.refund || (verb === VERBS.penalize && ready(seats, count, verdict))) {
    for (let i = 0; i < count; i++) {
      const seat = seats[i] as Seat;
      if (verb === VERBS.penalize) take(seat, seat.cost, verdict);
      else if (seat.cost > 0) {
        seat.kernel.give(seat.state, seat.params, seat.cost);
        verdict.changed = true;
      }
    }
  } else if (verb === VERBS.reset) {
    for (let i = 0; i < count; i++) {
      const seat = seats[i] as Seat;
      seat.kernel.clear(seat.state);
      seat.kernel.advance(seat.state, seat.params, verdict.nowUs);
    }
    verdict.changed = true;
  }
}

/** Waits count from the raw clock, so that "admitted after this wait" holds even if it went back. */
function measure(seat: Seat, cost: number, rawUs: number, nowUs: number): void {
  const { kernel, state, params } = seat;
  const behindUs = nowUs - rawUs;
  const blockedUs = Math.max(0, state.blockedUntilUs - rawUs);
  seat.room = kernel.room(state, params, nowUs);
  seat.waitUs = 0;
  if (seat.standing === STANDING.tooCostly) seat.waitUs = NEVER;
  else if (seat.standing !== STANDING.ok) {
    const quotaUs = cost > seat.room ? kernel.wait(state, params, cost, nowUs) + behindUs : 0;
    seat.waitUs = Math.max(quotaUs, blockedUs);
  }
  const fullUs = kernel.full(state, params, nowUs);
  seat.resetUs = Math.max(fullUs > 0 ? fullUs + behindUs : 0, blockedUs);
}

/** A state is kept until it is the same as none and some slack longer, at most so much. */
const MIN_SLACK_US = 1e6;

/** Leaves an expiry that still fits as it is: in Redis that costs half as much as a new one. */
function expire({ state, resetUs }: Seat, rawUs: number): void {
  const soonestUs = rawUs + resetUs;
  const latestUs = soonestUs + Math.max(MIN_SLACK_US, resetUs);
  const fits = state.expiryMs * 1e3 >= soonestUs && state.expiryMs * 1e3 <= latestUs;
  if (!fits) state.expiryMs = Math.floor(latestUs / 1e3);
}

/** What is not written is forgotten when its last change said, even where slower options would need longer. */
function outlive(seat: Seat, rawUs: number): void {
  if (seat.state.expiryMs === 0) return;
  const leftUs = seat.state.expiryMs * 1e3 - rawUs;
  seat.waitUs = Math.min(seat.waitUs, leftUs);
  seat.resetUs = Math.min(seat.resetUs, leftUs);
}

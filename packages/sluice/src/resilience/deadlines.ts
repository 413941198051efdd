/**
 * One deadline for many calls. All waits of a limiter are equally long but for the time in which this process did not run,
 * so they end about in the order in which they began: a queue and one timer are enough, and one timer per call would cost
 * more than the call.
 */
import { MIN_PERIOD_US } from "../core/duration.js";
import { byDefault, milliseconds } from "../core/options.js";
import { inNextTurn, monotonicMs, startTimer, type Timer } from "../core/clock.js";
import type { Heartbeat } from "../core/heartbeat.js";
import type { HandOver, Submitted } from "../stores/hand-over.js";

const DEFAULT_TIMEOUT = 250;
const LONGEST_TIMEOUT_US = 3600e6;

/** The option `timeout`, in milliseconds. */
export const checkTimeout = byDefault(
  DEFAULT_TIMEOUT,
  milliseconds(MIN_PERIOD_US, LONGEST_TIMEOUT_US),
);

/** By how much the loop was late in all, in whole milliseconds: the difference of two readings counts. */
export function lateMs({ sumMs, dueMs }: Heartbeat, nowMs: number): number {
  return Math.floor(nowMs > dueMs ? sumMs + nowMs - dueMs : sumMs);
}

/** The last time that the store gave the call to its client; undefined while it waits for that. */
export function handOverOf(submitted: Submitted): HandOver | undefined {
  return submitted.carrier?.handOver ?? submitted.handOver;
}

/** A call that is waited for. */
export interface Pending<Call, T> {
  readonly call: Call;
  readonly atMs: number;
  /** By how much the event loop had been late when the wait began; set by `add`. */
  lateBeforeMs: number;
  /** For a call that waits in this process: when its wait ends, if that was put off. */
  putOffToMs: number | undefined;
  isSettled: boolean;
  /** Called once, after it is settled. */
  done(outcome: T): void;
}

export interface DeadlinesOptions<Call, T> {
  readonly timeoutMs: number;
  readonly heartbeat: Heartbeat;
  /** What a call gets that is not settled in time. */
  readonly late: T;
  /** Called when no call waits and no timer runs. */
  readonly rests?: () => void;
  /** Sends at once a call that waits in this process, if it must be sent; false if it need not be, or cannot. */
  readonly hurry?: ((call: Call) => boolean) | undefined;
}

/** How many settled waits are dropped from the head of the queue at a time. */
const SETTLED_AT_ONCE = 256;
/** A longer list of waits gives its room back when nobody waits. */
const KEPT_ROOM = 16;

export class Deadlines<Call extends Submitted, T> {
  readonly #options: DeadlinesOptions<Call, T>;
  /** In the order in which they began; those before `#first` are settled. */
  readonly #pending: Pending<Call, T>[] = [];
  #first = 0;
  #unsettled = 0;
  #timer: Timer | undefined;
  /** Those that were sent when their time was over. */
  readonly #hurried = new WeakSet<Pending<Call, T>>();

  constructor(options: DeadlinesOptions<Call, T>) {
    this.#options = options;
  }

  /** Begins to wait, from `atMs` on; `done` is called once, by `settle` or when the time is over. */
  begin(call: Call, done: (outcome: T) => void, atMs: number = monotonicMs()): Pending<Call, T> {
    const pending = { call, atMs, lateBeforeMs: 0, putOffToMs: undefined, isSettled: false, done };
    this.add(pending);
    return pending;
  }

  /** Begins to wait by an object of the caller's own, which spares one. */
  add(pending: Pending<Call, T>): void {
    const { heartbeat, timeoutMs } = this.#options;
    this.#unsettled += 1;
    if (this.#unsettled === 1) {
      heartbeat.waiting += 1;
      if (heartbeat.dueMs === Number.POSITIVE_INFINITY) heartbeat.start();
    }
    pending.lateBeforeMs = lateMs(heartbeat, pending.atMs);
    this.#pending.push(pending);
    // While something is pending the timer keeps the process alive, so that every call is answered.
    if (this.#timer === undefined) this.#start(timeoutMs);
    else if (this.#unsettled === 1) this.#timer.ref();
  }

  /** Ends a wait; false if it had ended before, and `outcome` is dropped. */
  settle(pending: Pending<Call, T>, outcome: T): boolean {
    if (pending.isSettled) return false;
    pending.isSettled = true;
    this.#unsettled -= 1;
    if (this.#unsettled === 0) this.#rest();
    else this.#letGo();
    pending.done(outcome);
    return true;
  }

  /** Ends the waits of all calls for which `outcomeOf` has an outcome. */
  settleWhere(outcomeOf: (call: Call) => T | undefined): void {
    const waiting = this.#pending.filter(({ isSettled }) => !isSettled);
    for (const pending of waiting) {
      if (pending.isSettled) continue;
      const outcome = outcomeOf(pending.call);
      if (outcome !== undefined) this.settle(pending, outcome);
    }
  }

  /** Whether a wait from before then is still going on. */
  hasFromBefore(ms: number): boolean {
    for (let i = this.#first; i < this.#pending.length; i++) {
      const { isSettled, atMs } = this.#pending[i] as Pending<Call, T>;
      if (!isSettled && atMs < ms) return true;
    }
    return false;
  }

  #start(ms: number): void {
    this.#timer = startTimer(ms, () => {
      // Answers that came while this process was busy are read before any call is ended for want of one.
      inNextTurn(() => {
        this.#timer = undefined;
        this.#settleDue();
      });
    });
  }

  /** The timer runs on, for the next call, without keeping the process alive. */
  #rest(): void {
    this.#options.heartbeat.waiting -= 1;
    this.#timer?.unref();
    this.#first = 0;
    // One by one, so that a short list keeps its room: calls that come one after another would each need new room.
    if (this.#pending.length > KEPT_ROOM) this.#pending.length = 0;
    while (this.#pending.length > 0) this.#pending.pop();
  }

  /**
   * Answers come about in order. What is settled must not stay until its time would have been over: many
   * thousands of small objects that live for that long cost the collector more than all the rest of a call.
   */
  #letGo(): void {
    const all = this.#pending;
    while (this.#first < all.length && all[this.#first]?.isSettled === true) this.#first += 1;
    if (this.#first < SETTLED_AT_ONCE) return;
    all.splice(0, this.#first);
    this.#first = 0;
  }

  /**
   * When a wait is over, asked when its time has passed. What the client has: its time counts from when the client could
   * begin. What waits in this process is put off once, by as long as the event loop was late: after a stall it is sent as
   * soon as what arrived during it has been read. Then a call that must be sent is sent, whatever is under way, and gets a
   * full timeout for its answer. Together that is at most twice the timeout plus the delay.
   */
  #endsAtMs(pending: Pending<Call, T>, nowMs: number): number {
    const { call, atMs, lateBeforeMs } = pending;
    const { timeoutMs, heartbeat } = this.#options;
    const meanwhileMs = lateMs(heartbeat, nowMs) - lateBeforeMs;
    const handOver = handOverOf(call);
    if (handOver === undefined || handOver.isAssumed) {
      pending.putOffToMs ??=
        meanwhileMs > 0 ? nowMs + Math.min(timeoutMs, meanwhileMs) : atMs + timeoutMs;
      if (pending.putOffToMs > nowMs || handOver !== undefined || !this.#hurry(pending)) {
        return pending.putOffToMs;
      }
      pending.putOffToMs = Math.max(atMs + 2 * timeoutMs + meanwhileMs, nowMs + timeoutMs);
      return pending.putOffToMs;
    }
    const { startedAtMs = nowMs } = handOver;
    return Math.min(Math.max(atMs, startedAtMs) + timeoutMs, atMs + 2 * timeoutMs + meanwhileMs);
  }

  #hurry(pending: Pending<Call, T>): boolean {
    if (this.#hurried.has(pending) || this.#options.hurry?.(pending.call) !== true) return false;
    this.#hurried.add(pending);
    return true;
  }

  #settleDue(): void {
    const nowMs = monotonicMs();
    const all = this.#pending;
    const due: Pending<Call, T>[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    let kept = 0;
    let seen = this.#first;
    for (; seen < all.length; seen++) {
      const pending = all[seen] as Pending<Call, T>;
      if (pending.isSettled) continue;
      const earliestMs = pending.atMs + this.#options.timeoutMs;
      const endsAtMs = earliestMs > nowMs ? earliestMs : this.#endsAtMs(pending, nowMs);
      nextMs = endsAtMs > nowMs ? Math.min(nextMs, endsAtMs) : nextMs;
      // All others began later.
      if (earliestMs > nowMs) break;
      if (endsAtMs <= nowMs) due.push(pending);
      else all[kept++] = pending;
    }
    // Taken out before they are told: `done` may begin new waits.
    all.splice(kept, seen - kept);
    this.#first = 0;
    if (nextMs !== Number.POSITIVE_INFINITY) this.#start(Math.max(1, nextMs - nowMs));
    for (const pending of due) {
      if (!pending.isSettled) this.settle(pending, this.#options.late);
    }
    if (this.#timer === undefined) this.#options.rests?.();
  }
}

/**
 * One deadline for many calls. All waits of a limiter are equally long, so they end in the order they
 * began: a queue and one timer do, where a timer a call would cost more than the call.
 */
import { type Duration, MIN_PERIOD_US, toMicroseconds } from "../core/duration.js";
import { inNextTurn, monotonicMs, startTimer, type Timer } from "../core/clock.js";

const DEFAULT_TIMEOUT = 250;
const LONGEST_TIMEOUT_US = 3600e6;

/** The option `timeout` in milliseconds. */
export function checkTimeout(timeout: Duration = DEFAULT_TIMEOUT): number {
  return toMicroseconds("timeout", timeout, MIN_PERIOD_US, LONGEST_TIMEOUT_US) / 1e3;
}

/** Something that is waited for. */
export interface Pending<T> {
  readonly endsAtMs: number;
  /** Undefined once it was called. */
  done: ((outcome: T) => void) | undefined;
}

/** Settled waits at the head of the queue are let go so many at a time. */
const SETTLED_AT_ONCE = 256;

export class Deadlines<T> {
  readonly timeoutMs: number;
  readonly #late: () => T;
  /** In the order in which they end; those before `#first` are settled. */
  readonly #pending: Pending<T>[] = [];
  #first = 0;
  #unsettled = 0;
  #timer: Timer | undefined;

  /** What is not settled after `timeoutMs` gets what `late` makes. */
  constructor(timeoutMs: number, late: () => T) {
    this.timeoutMs = timeoutMs;
    this.#late = late;
  }

  /** Begins to wait, from `atMs` on; `done` is called once, by `settle` or when the time is over. */
  begin(done: (outcome: T) => void, atMs: number = monotonicMs()): Pending<T> {
    const pending = { endsAtMs: atMs + this.timeoutMs, done };
    this.#pending.push(pending);
    this.#unsettled += 1;
    // While something is pending the timer keeps the process alive, so that every call is answered.
    if (this.#timer === undefined) this.#start(this.timeoutMs);
    else if (this.#unsettled === 1) this.#timer.ref();
    return pending;
  }

  /** Ends a wait; false if it had ended before, and `outcome` is dropped. */
  settle(pending: Pending<T>, outcome: T): boolean {
    const { done } = pending;
    if (done === undefined) return false;
    pending.done = undefined;
    this.#unsettled -= 1;
    if (this.#unsettled === 0) this.#rest();
    else this.#letGo();
    done(outcome);
    return true;
  }

  #start(ms: number): void {
    this.#timer = startTimer(ms, () => {
      // Answers that came while this process was busy are read before anybody is told that there is none.
      inNextTurn(() => {
        this.#timer = undefined;
        this.#settleDue();
      });
    });
  }

  /** The timer runs on, for the next call, without keeping the process alive. */
  #rest(): void {
    this.#timer?.unref();
    this.#pending.length = 0;
    this.#first = 0;
  }

  /**
   * Answers come about in order. What is settled must not stay until its time would have been over: many
   * thousands of small objects that live for that long cost the collector more than all the rest of a call.
   */
  #letGo(): void {
    const all = this.#pending;
    while (this.#first < all.length && all[this.#first]?.done === undefined) this.#first += 1;
    if (this.#first < SETTLED_AT_ONCE) return;
    all.splice(0, this.#first);
    this.#first = 0;
  }

  #settleDue(): void {
    const nowMs = monotonicMs();
    const all = this.#pending;
    let end = this.#first;
    while (
      end < all.length &&
      (all[end]?.done === undefined || (all[end] as Pending<T>).endsAtMs <= nowMs)
    ) {
      end += 1;
    }
    // Taken out before they are told: `done` may begin new waits.
    const due = all.splice(0, end);
    this.#first = 0;
    const next = all[0];
    if (next !== undefined) this.#start(Math.max(1, next.endsAtMs - nowMs));
    for (const pending of due) if (pending.done !== undefined) this.settle(pending, this.#late());
  }
}

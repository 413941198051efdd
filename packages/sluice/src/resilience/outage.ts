/**
 * One outage, as one limiter, semaphore or store reports it: once when it begins and once when it is over, with the
 * number of calls in between that the store did not answer.
 */
import { monotonicMs } from "../core/clock.js";
import type { ErrorEvent, Events, Instead } from "../events/events.js";

/** Who reports outages of a store, and how long the store must have answered until one is over. */
export interface Audience {
  readonly events: Events;
  readonly quietMs: number;
}

export class OutageNotice {
  readonly #events: Events;
  readonly #part: string;
  readonly #beganMs = monotonicMs();
  readonly #unanswered = {
    total: 0,
    busy: 0,
    local: 0,
    failOpen: 0,
    failClosed: 0,
    fallback: 0,
    thrown: 0,
  };
  #isClaimed = false;
  #first: ErrorEvent | undefined;
  #lastedMs: number | undefined;

  /** `part` is the part of the store that fails, "" for all of it. */
  constructor(events: Events, part: string) {
    this.#events = events;
    this.#part = part;
  }

  /** `busy` is for a call that got no answer because there was too much to do. */
  count(instead: Instead, busy: boolean): void {
    this.#unanswered[instead] += 1;
    if (busy) this.#unanswered.busy += 1;
    this.#unanswered.total += 1;
  }

  /** True for the first caller, which must then `report`. */
  claim(): boolean {
    if (this.#isClaimed) return false;
    this.#isClaimed = true;
    return true;
  }

  /** The decision made in spite of an error may take its time, and the store may be back by then. */
  report(failure: ErrorEvent): void {
    this.#first = this.#part === "" ? failure : { ...failure, part: this.#part };
    this.#events.to.failure?.(this.#first);
    if (this.#lastedMs !== undefined) this.#reportEnd(this.#first, this.#lastedMs);
  }

  /** `answeredAtMs` is when the store first answered after its last failure. */
  end(answeredAtMs: number): void {
    this.#lastedMs = answeredAtMs - this.#beganMs;
    if (this.#first !== undefined) this.#reportEnd(this.#first, this.#lastedMs);
  }

  #reportEnd(first: ErrorEvent, outageMs: number): void {
    const { error } = first;
    const part = this.#part === "" ? {} : { part: this.#part };
    const unanswered = { ...this.#unanswered };
    this.#events.to.recovery?.({ error, first, outageMs, unanswered, ...part });
  }
}

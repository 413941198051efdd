/**
 * When the waiters of one key ask the store, and when they renew their positions in line. If notifications arrive, they ask
 * only when a holder's lease may have ended, which no notification announces; else they poll.
 */
import type { Terms } from "../algorithms/semaphore/kernel.js";
import { setAlarm } from "../core/alarm.js";
import { type Clock, monotonicUs } from "../core/clock.js";

export interface PollerOptions {
  readonly clock: Clock;
  readonly terms: Terms;
  /** Whether notifications arrive. */
  readonly isNotified: () => boolean;
  /** Asks whether the first in line hold by now. */
  readonly ask: () => Promise<void>;
  /** Renews the positions of all who are in line, and finds out which of them hold. */
  readonly renew: () => Promise<void>;
}

/** Between two polls: each pause is half as long again as the one before. */
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 1000;
const PAUSE_GROWTH = 1.5;
/** A lease is over only after its last microsecond. */
const PAST_LEASE_MS = 1;

export class Poller {
  readonly #options: PollerOptions;
  readonly #longestPauseMs: number;
  readonly #renewEveryMs: number;
  #pauseMs = FIRST_PAUSE_MS;
  #isRunning = false;
  #isPolling = false;
  /** Whether the store failed since it last answered: then notifications cannot be relied on. */
  #isFailing = false;
  #renewAtMs = 0;
  /** When the first lease of a holder may end. */
  #leaseEndsAtMs = Number.POSITIVE_INFINITY;
  #cancelAlarm: () => void = () => {};

  constructor(options: PollerOptions) {
    const { claimUs, waitUs } = options.terms;
    this.#options = options;
    // Often enough to confirm every claim.
    this.#longestPauseMs = Math.min(LONGEST_PAUSE_MS, claimUs / 2e3);
    // Two renewals may fail before a position in line is lost.
    this.#renewEveryMs = waitUs / 3e3;
  }

  /** Until the first lease of a holder may end. */
  get leaseEndsInMs(): number {
    return Math.max(0, this.#leaseEndsAtMs - this.#nowMs());
  }

  start(): void {
    this.#isRunning = true;
    this.#isFailing = false;
    this.hurry();
    this.#renewAtMs = this.#nowMs() + this.#renewEveryMs;
  }

  stop(): void {
    this.#isRunning = false;
    this.#cancelAlarm();
  }

  /** The first lease of a holder ends in `nextUs`; -1 = there is no holder. */
  learn(nextUs: number): void {
    this.#leaseEndsAtMs =
      nextUs < 0 ? Number.POSITIVE_INFINITY : this.#nowMs() + nextUs / 1e3 + PAST_LEASE_MS;
  }

  /** Polls often again: something moves. */
  hurry(): void {
    this.#pauseMs = FIRST_PAUSE_MS;
  }

  storeAnswered(): void {
    this.#isFailing = false;
  }

  storeFailed(): void {
    this.#isFailing = true;
    this.schedule();
  }

  /** Sets the alarm to whatever is due first. */
  schedule(): void {
    this.#cancelAlarm();
    if (!this.#isRunning || this.#isPolling) return;
    const nowMs = this.#nowMs();
    const isNotified = this.#options.isNotified() && !this.#isFailing;
    // At random: processes that began to poll together would go on asking together.
    const pollInMs = isNotified
      ? this.#leaseEndsAtMs - nowMs
      : this.#pauseMs * (0.5 + Math.random());
    const inMs = Math.max(0, Math.min(pollInMs, this.#renewAtMs - nowMs));
    // A caller waits for this: the process must go on.
    this.#cancelAlarm = setAlarm(this.#options.clock, inMs, true, () => void this.poll());
  }

  /** Asks or renews now, then schedules the next time. */
  async poll(): Promise<void> {
    if (this.#isPolling || !this.#isRunning) return;
    this.#isPolling = true;
    this.#cancelAlarm();
    this.#pauseMs = Math.min(this.#pauseMs * PAUSE_GROWTH, this.#longestPauseMs);
    const nowMs = this.#nowMs();
    // Unless an answer says otherwise.
    this.#leaseEndsAtMs = nowMs + this.#pauseMs;
    try {
      if (nowMs >= this.#renewAtMs) {
        this.#renewAtMs = nowMs + this.#renewEveryMs;
        await this.#options.renew();
      } else await this.#options.ask();
    } finally {
      this.#isPolling = false;
      this.schedule();
    }
  }

  #nowMs(): number {
    return monotonicUs(this.#options.clock) / 1e3;
  }
}

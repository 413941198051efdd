/** The store's time, as this process knows it: what it said last, and what has passed here since by the monotonic clock. */
import { type Clock, monotonicMs, systemClock } from "../core/clock.js";
import type { ClockReading } from "./policy-source.js";

export class StoreTime {
  readonly #clock: Clock | undefined;
  #aheadUs: number | undefined;

  /** `clock` is the store's own, if it is one of this process. */
  constructor(clock: Clock | undefined) {
    this.#clock = clock;
  }

  /** Whether anything but this machine's own clock is known. */
  get isKnown(): boolean {
    return this.#clock !== undefined || this.#aheadUs !== undefined;
  }

  /** The machine's own wall clock decides nothing once the store has said its time. */
  nowUs(): number {
    if (this.#clock !== undefined) return this.#clock.nowUs();
    if (this.#aheadUs === undefined) return systemClock.nowUs();
    return Math.floor(monotonicMs() * 1e3 + this.#aheadUs);
  }

  heard({ thereUs, hereMs }: ClockReading): void {
    this.#aheadUs = thereUs - hereMs * 1e3;
  }
}

/** The seconds of the last quarter of an hour, each under a number by which a page says what it has. */
import type { Second } from "./wire.js";

const KEPT_MS = 15 * 60_000;
/** Looks come a second apart; more of them would be a clock that was set back. */
const MOST_SECONDS = 1000;

/** What a page has not seen yet. */
export interface SecondsSince {
  readonly seconds: readonly Second[];
  readonly next: number;
  readonly isContinued: boolean;
}

export class SecondRing {
  /** The number of the first one. Numbers of a ring that comes after this one are above all of its own. */
  #first: number;
  readonly #seconds: Second[] = [];

  /** `fromMs` is the time now: it grows faster than one a second. */
  constructor(fromMs: number) {
    this.#first = Math.floor(fromMs);
  }

  add(second: Second): void {
    this.#seconds.push(second);
    const oldestMs = second.fromMs + second.spanMs - KEPT_MS;
    let dropped = Math.max(0, this.#seconds.length - MOST_SECONDS);
    for (const { fromMs, spanMs } of this.#seconds) {
      if (fromMs + spanMs > oldestMs) break;
      dropped += 1;
    }
    if (dropped === 0) return;
    this.#seconds.splice(0, dropped);
    this.#first += dropped;
  }

  since(number: number | undefined): SecondsSince {
    const next = this.#first + this.#seconds.length;
    const isContinued = number !== undefined && number >= this.#first && number <= next;
    const seconds = isContinued ? this.#seconds.slice(number - this.#first) : [...this.#seconds];
    return { seconds, next, isContinued };
  }
}

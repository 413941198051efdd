/** Attempts that the dashboard remembers: while a page is open, and a quarter of an hour more. */
import timers from "node:timers";
import type { RateLimiter } from "sluice";
import { RecentAttempts } from "sluice/log";
import type { PolicySet } from "sluice/policies";

/** As far back as a change is tried. */
const KEPT_MS = 15 * 60_000;

/** Remembering costs time at each decision, so nothing is remembered until a page is opened. */
export class RememberedAttempts {
  readonly #most: number;
  readonly #counted: readonly (RateLimiter | PolicySet)[];
  #recent: RecentAttempts | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** Of these limiters; `most` 0: none are ever remembered. */
  constructor(most: number, counted: readonly (RateLimiter | PolicySet)[]) {
    this.#most = most;
    this.#counted = counted;
  }

  /** What there is; undefined if nothing is remembered now. */
  get recent(): RecentAttempts | undefined {
    return this.#recent;
  }

  /** A page is open. */
  wanted(): void {
    if (this.#most === 0) return;
    if (this.#recent !== undefined) {
      this.#timer?.refresh();
      return;
    }
    // They never leave the process, and without their values a trial of another match or key would be a guess.
    this.#recent = new RecentAttempts({ most: this.#most, clear: true });
    for (const each of this.#counted) this.#recent.add(each);
    this.#timer = timers.setTimeout(() => {
      this.close();
    }, KEPT_MS);
    this.#timer.unref();
  }

  /** Forgets them, until a page is open again. */
  close(): void {
    timers.clearTimeout(this.#timer);
    this.#recent?.close();
    this.#recent = undefined;
  }
}

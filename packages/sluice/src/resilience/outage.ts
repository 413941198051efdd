/**
 * One outage of the store: told once when it begins, by `onError`, and once when it is over, by
 * `onRecovery`, with the number of calls in between that the store did not answer.
 */
import { monotonicMs } from "../core/clock.js";
import type { ErrorEvent, HookRunner } from "../events/hooks.js";

/** What a call got in place of the store's answer. */
export type Instead = "failOpen" | "failClosed" | "fallback" | "thrown";

/** Calls that the store did not answer. */
export type Unanswered = Readonly<Record<Instead | "total", number>>;

export class Outage {
  readonly #hooks: HookRunner;
  readonly #part: string;
  readonly #beganMs = monotonicMs();
  readonly #unanswered = { total: 0, failOpen: 0, failClosed: 0, fallback: 0, thrown: 0 };
  #isClaimed = false;
  #told: ErrorEvent | undefined;
  #lastedMs: number | undefined;

  /** `part` is the part of the store that fails, "" for all of it. */
  constructor(hooks: HookRunner, part: string) {
    this.#hooks = hooks;
    this.#part = part;
  }

  count(instead: Instead): void {
    this.#unanswered[instead] += 1;
    this.#unanswered.total += 1;
  }

  /** True for the first to ask, who is then to `tell`. */
  claim(): boolean {
    if (this.#isClaimed) return false;
    this.#isClaimed = true;
    return true;
  }

  /** The decision made in spite of an error may take its time, and the store be back by then. */
  tell(event: ErrorEvent): void {
    this.#told = this.#part === "" ? event : { ...event, part: this.#part };
    this.#hooks.failed(this.#told);
    if (this.#lastedMs !== undefined) this.#tellOfRecovery(this.#told, this.#lastedMs);
  }

  /** `answeredAtMs` is when the store first answered after its last failure. */
  end(answeredAtMs: number): void {
    this.#lastedMs = answeredAtMs - this.#beganMs;
    if (this.#told !== undefined) this.#tellOfRecovery(this.#told, this.#lastedMs);
  }

  #tellOfRecovery(told: ErrorEvent, outageMs: number): void {
    const part = this.#part === "" ? {} : { part: this.#part };
    const unanswered = { ...this.#unanswered };
    this.#hooks.recovered({ error: told.error, outageMs, unanswered, ...part }, told);
  }
}

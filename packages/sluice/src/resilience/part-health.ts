/**
 * A part of a store that failed, and has not yet answered for a while without a failure: its breakers, and who
 * reports its outage. What speaks against the part counts for every breaker, whoever asked.
 */
import { monotonicMs } from "../core/clock.js";
import { StoreTimeoutError, StoreUnavailableError } from "../core/errors.js";
import { Breaker, type BreakerSettings } from "./breaker.js";
import { type Audience, OutageNotice } from "./outage.js";

/** A breaker of those who wait so long for an answer. */
interface PatientBreaker {
  readonly breaker: Breaker;
  readonly timeoutMs: number;
}

type Audiences = Set<WeakRef<Audience>>;

const dropped = new FinalizationRegistry<{ audiences: Audiences; ref: WeakRef<Audience> }>(
  ({ audiences, ref }) => audiences.delete(ref),
);

export class PartHealth {
  readonly part: string;
  /** When the store first answered a call that began after the last failure; undefined until then. */
  answeredAtMs: number | undefined;
  /** The number of the last failure among all of the store. */
  lastFailure = 0;
  /** Which part decides now what failed last: another one may have taken its place. */
  partNow: () => string;
  #lastError: Error | undefined;
  /**
   * Failures in a row, by how long the caller waited. An error counts for everyone (Infinity); a timeout counts only for
   * those whose own is no longer.
   */
  readonly #failuresInARow = new Map<number, number>();
  /** Limiters that choose alike share one. */
  readonly #breakers = new Map<string, PatientBreaker>();
  readonly #refusals = new Map<Breaker, StoreUnavailableError>();
  readonly #notices = new WeakMap<Audience, OutageNotice>();
  /** Whose notices there are. An outage may last, and must not keep limiters that were dropped meanwhile. */
  readonly #audiences: Audiences = new Set();

  constructor(part: string) {
    this.part = part;
    this.partNow = () => part;
  }

  /** The breaker with these settings, of those who wait so long. */
  breaker(settings: BreakerSettings, timeoutMs: number): Breaker {
    const name = `${settings.failures} ${settings.probeEveryMs} ${timeoutMs}`;
    let known = this.#breakers.get(name);
    if (known === undefined) {
      known = { breaker: new Breaker(settings), timeoutMs };
      const nowMs = monotonicMs();
      for (let i = 0; i < settings.failures && i < this.#failuresWithin(timeoutMs); i++) {
        known.breaker.failed(false, nowMs);
      }
      this.#breakers.set(name, known);
    }
    return known.breaker;
  }

  /** `probed` is the breaker that let the call through as its probe. */
  failed(error: Error, failure: number, probed: Breaker | undefined): void {
    const nowMs = monotonicMs();
    this.#lastError = error;
    this.lastFailure = failure;
    this.answeredAtMs = undefined;
    this.#refusals.clear();
    const waitedMs =
      error instanceof StoreTimeoutError ? error.timeoutMs : Number.POSITIVE_INFINITY;
    this.#failuresInARow.set(waitedMs, (this.#failuresInARow.get(waitedMs) ?? 0) + 1);
    for (const { breaker, timeoutMs } of this.#breakers.values()) {
      // Its own probe is over however that failed: a store may have a shorter deadline of its own.
      if (timeoutMs <= waitedMs || probed === breaker) breaker.failed(probed === breaker, nowMs);
    }
  }

  /** A call that began before the last failure may be answered: while a breaker is open only its probe counts. */
  worked(probed: Breaker | undefined): void {
    const all = [...this.#breakers.values()];
    for (const { breaker } of all) breaker.succeeded(probed === breaker);
    if (all.every(({ breaker }) => !breaker.isOpen)) this.#failuresInARow.clear();
  }

  /** Calls are asked again from now on; only the end of the outage waits. */
  answered(nowMs: number): void {
    this.answeredAtMs = nowMs;
    this.#failuresInARow.clear();
    // New ones: a probe of the one before says nothing of what comes from now on.
    this.#breakers.clear();
    this.#refusals.clear();
  }

  #failuresWithin(timeoutMs: number): number {
    let failures = 0;
    for (const [waitedMs, count] of this.#failuresInARow) {
      if (waitedMs >= timeoutMs) failures += count;
    }
    return failures;
  }

  /** What calls get while the breaker is open: one error until the next failure. */
  refusal(breaker: Breaker): StoreUnavailableError {
    let refusal = this.#refusals.get(breaker);
    if (refusal === undefined) {
      const { failures, probeEveryMs } = breaker.settings;
      const of = this.part === "" ? "" : ` of ${this.part}`;
      refusal = new StoreUnavailableError(
        `the breaker${of} is open: after ${failures} failures in a row ` +
          `one call every ${probeEveryMs} ms asks the store`,
        { cause: this.#lastError },
      );
      this.#refusals.set(breaker, refusal);
    }
    return refusal;
  }

  /** The outage under way, as `audience` reports it. */
  notice(audience: Audience): OutageNotice {
    let notice = this.#notices.get(audience);
    if (notice === undefined) {
      notice = new OutageNotice(audience.events, this.part);
      this.#notices.set(audience, notice);
      const ref = new WeakRef(audience);
      this.#audiences.add(ref);
      dropped.register(audience, { audiences: this.#audiences, ref });
    }
    return notice;
  }

  /**
   * Ends the outage for all who have seen answers for long enough. `forget` is called when nobody reports it any more,
   * and before anybody hears of the end: a listener may ask the store, and meet the next trouble.
   */
  endIfOver(nowMs: number, forget: () => void): void {
    const { answeredAtMs } = this;
    if (answeredAtMs === undefined) return;
    const over: OutageNotice[] = [];
    for (const ref of this.#audiences) {
      const audience = ref.deref();
      if (audience !== undefined && nowMs - answeredAtMs < audience.quietMs) continue;
      this.#audiences.delete(ref);
      const notice = audience && this.#notices.get(audience);
      if (notice === undefined) continue;
      this.#notices.delete(audience as Audience);
      over.push(notice);
    }
    if (this.#audiences.size === 0) forget();
    for (const notice of over) notice.end(answeredAtMs);
  }
}

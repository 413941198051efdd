/**
 * A part of a store that failed, and has not yet answered for a while without a failure, as users with the same timeout see
 * it: their breakers, and which of them reports its outage. Evidence against the part counts for all of them.
 */
import { monotonicMs } from "../core/clock.js";
import { StoreTimeoutError, StoreUnavailableError } from "../core/errors.js";
import { Breaker, type BreakerSettings } from "./breaker.js";
import { type Audience, OutageNotice } from "./outage.js";

/** What open breakers answered: the store was not asked, so that says nothing of it. */
const refusals = new WeakSet<Error>();

export function isRefusal(error: Error): boolean {
  return refusals.has(error);
}

const NEVER = { startedMs: 0, decidedMs: Number.NEGATIVE_INFINITY };

type Audiences = Set<WeakRef<Audience>>;

const dropped = new FinalizationRegistry<{ audiences: Audiences; ref: WeakRef<Audience> }>(
  ({ audiences, ref }) => audiences.delete(ref),
);

export class PartHealth {
  readonly part: string;
  /** How long its users wait for an answer. */
  readonly timeoutMs: number;
  /** When the store first answered a call that began after the last failure; undefined until then. */
  answeredAtMs: number | undefined;
  /** The number of the last failure among all of the store. */
  lastFailure = 0;
  /** Which part decides now what failed last: another one may have replaced it. */
  partNow: () => string;
  #lastError: Error | undefined;
  /** Calls that count against the part since it last decided anything. */
  #failuresInARow = 0;
  /** Those among them that count against the part for every caller, whatever its timeout. */
  #errorsInARow = 0;
  /** Consecutive batches whose decisions came later than any call here waits, though this process was ready for them. */
  #slowBatches = 0;
  /** When the last of them was begun and decided. */
  #lastSlow = NEVER;
  /** By their settings: limiters that choose alike share one. */
  readonly #breakers = new Map<string, Breaker>();
  readonly #notices = new WeakMap<Audience, OutageNotice>();
  /** Whose notices there are. An outage may last, and must not keep dropped limiters in memory. */
  readonly #audiences: Audiences = new Set();

  /** What is known from `other`, for the same part and another timeout: its errors, but not its silence. */
  constructor(part: string, timeoutMs: number, other?: PartHealth) {
    this.part = part;
    this.timeoutMs = timeoutMs;
    this.partNow = other === undefined ? () => part : other.partNow;
    if (other === undefined) return;
    this.lastFailure = other.lastFailure;
    this.#lastError = other.#lastError;
    this.#errorsInARow = other.#errorsInARow;
    this.#failuresInARow = other.#errorsInARow;
  }

  /** Whether the part failed for everyone, and not only for users with a timeout as short. */
  get isBroken(): boolean {
    return this.#errorsInARow > 0;
  }

  /** Whether any caller does not ask the part now. */
  get hasOpenBreaker(): boolean {
    return [...this.#breakers.values()].some(({ isOpen }) => isOpen);
  }

  /** Whether a probe of an open breaker is under way. */
  get isProbed(): boolean {
    return [...this.#breakers.values()].some(({ isProbing }) => isProbing);
  }

  /** The breaker with these settings. */
  breaker(settings: BreakerSettings): Breaker {
    const name = `${settings.failures} ${settings.probeEveryMs}`;
    let breaker = this.#breakers.get(name);
    if (breaker === undefined) {
      breaker = new Breaker(settings);
      breaker.failed(this.#against, monotonicMs());
      this.#breakers.set(name, breaker);
    }
    return breaker;
  }

  /** How much counts against the part now: calls, or batches if it is only slow. */
  get #against(): number {
    return Math.max(this.#failuresInARow, this.#slowBatches);
  }

  /** A call that counts against the part; true if that opens a breaker. */
  failed(error: Error, failure: number): boolean {
    this.unanswered(error, failure);
    this.#failuresInARow += 1;
    if (!(error instanceof StoreTimeoutError)) this.#errorsInARow += 1;
    return this.#openBreakers();
  }

  /** A call that got no answer, whatever that says. */
  unanswered(error: Error, failure: number): void {
    this.#lastError = error;
    this.lastFailure = failure;
    this.answeredAtMs = undefined;
  }

  /** The part decided something: that clears the count and closes the breakers. */
  decided(): void {
    this.#forgetFailures();
    this.#slowBatches = 0;
    this.#lastSlow = NEVER;
    // New ones are made: a probe of the one before says nothing of what comes from now on.
    this.#breakers.clear();
  }

  /** The same, but later than any caller waited; true if that opens a breaker. */
  decidedTooLate(startedAtMs: number, nowMs: number): boolean {
    this.#forgetFailures();
    // After a silence its answers come at once, and each is less late than the one before: the part was slow once.
    const { startedMs, decidedMs } = this.#lastSlow;
    const catchesUp = nowMs - decidedMs < (startedAtMs - startedMs) / 2;
    this.#lastSlow = { startedMs: startedAtMs, decidedMs: nowMs };
    if (!catchesUp) this.#slowBatches += 1;
    for (const [name, breaker] of this.#breakers) {
      if (this.#slowBatches < breaker.settings.failures) this.#breakers.delete(name);
    }
    return this.#openBreakers();
  }

  #openBreakers(): boolean {
    const nowMs = monotonicMs();
    let hasOpened = false;
    for (const breaker of this.#breakers.values()) {
      hasOpened = breaker.failed(this.#against, nowMs) || hasOpened;
    }
    return hasOpened;
  }

  /** Another part answers instead: calls are asked again from now on; only the end of the outage waits. */
  answered(nowMs: number): void {
    this.answeredAtMs = nowMs;
    this.decided();
  }

  #forgetFailures(): void {
    this.#failuresInARow = 0;
    this.#errorsInARow = 0;
  }

  /** What a call gets while the breaker is open: a new error for each call, because its caller may keep it or change it. */
  refusal(breaker: Breaker): StoreUnavailableError {
    const { failures, probeEveryMs } = breaker.settings;
    const of = this.part === "" ? "" : ` of ${this.part}`;
    const refusal = new StoreUnavailableError(
      `the breaker${of} is open: after ${failures} failures in a row ` +
        `the store gets at most one call every ${probeEveryMs} ms`,
      { cause: this.#lastError },
    );
    refusals.add(refusal);
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
   * Ends the outage for all who have seen answers for long enough, unless calls from before are under way. `forget` is
   * called once no user reports it any more, and before listeners hear of the end: a listener may ask the store, and meet
   * the next outage.
   */
  endIfOver(nowMs: number, hasCallsFromBefore: (ms: number) => boolean, forget: () => void): void {
    const { answeredAtMs } = this;
    if (answeredAtMs === undefined) return;
    const over: OutageNotice[] = [];
    let mayBeLost: boolean | undefined;
    for (const ref of this.#audiences) {
      const audience = ref.deref();
      if (audience !== undefined && nowMs - answeredAtMs < audience.quietMs) continue;
      mayBeLost ??= hasCallsFromBefore(answeredAtMs);
      if (mayBeLost) return;
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

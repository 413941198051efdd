/**
 * How a limiter or a semaphore asks its store: within its deadline, past an open breaker not at all, and with a record
 * of every failure. Failures are outcomes; misuse and an aborted signal reject.
 *
 * What a failure sets in motion: the call ends (#ended) → is it evidence against the store? (evidenceOf in
 * store-health.ts) → the part's breakers count it (part-health.ts) → everyone who asked gets a notice of the outage
 * (#report, outage.ts) → the first caller to be answered reports it (reporter) → listeners and hooks hear of it (events/).
 */
import { onAbort } from "../core/abort.js";
import { monotonicMs } from "../core/clock.js";
import {
  asStoreError,
  CrossSlotError,
  InvalidOptionError,
  type StoreUnavailableError,
  StoreTimeoutError,
} from "../core/errors.js";
import type { ErrorEvent, Events, Instead } from "../events/events.js";
import { type BreakerSettings, DEFAULT_PROBE_EVERY_MS } from "./breaker.js";
import { Deadlines } from "./deadlines.js";
import type { Audience, OutageNotice } from "./outage.js";
import type { PartHealth } from "./part-health.js";
import { type Attempt, evidenceOf, type StoreHealth } from "./store-health.js";

/** A call that a store drops unsent once nobody waits for it. */
export interface Abandonable {
  abandoned?: boolean;
}

export interface GuardedStoreOptions<Call, Result> {
  /** Who asks, as events name it. */
  readonly name: string;
  readonly health: StoreHealth;
  /** false = inside this process: asked without deadline or breaker. */
  readonly external: boolean;
  readonly timeoutMs: number;
  /** Undefined = the store is always asked. */
  readonly breaker: BreakerSettings | undefined;
  readonly events: Events;
  /** What a call gets that the store does not answer. */
  readonly instead: Instead;
  /** The part of the store that decides a call; undefined where it has no parts. */
  readonly partOf: ((call: Call) => string) | undefined;
  /** Hands a call to the store, which calls `done` once. */
  readonly submit: Submit<Call, Result>;
}

type Submit<Call, Result> = (call: Call, done: (outcome: Result | Error) => void) => void;

/** Who asks: one of `complete` and `reject` is called, once. */
export interface Asker<Result> {
  readonly signal: AbortSignal | undefined;
  /** When the call began, on the monotonic clock: its deadline counts from then. */
  readonly atMs: number;
  /** With the store's answer, or why there is none. */
  complete(outcome: Result | Error): void;
  /** Misuse, or what the signal says. */
  reject(reason: Error): void;
  /** With what comes after the deadline or an abort. */
  late?(outcome: Result | Error): void;
}

export interface AskOptions<Call extends Abandonable, Result extends object> {
  /** What the caller gets without an answer, if not what the option says. */
  readonly instead?: Instead;
  /** In place of the store's own. */
  readonly submit?: Submit<Call, Result> | undefined;
  /** Others that this call is asked for too: they report its outage, and count it. */
  readonly others?: readonly GuardedStore<Call, Result>[];
  /** Asks past an open breaker too: what keeps alive what is held must not wait for a probe. */
  readonly always?: boolean;
}

export class GuardedStore<Call extends Abandonable, Result extends object> {
  readonly #options: GuardedStoreOptions<Call, Result>;
  readonly #health: StoreHealth;
  readonly #audience: Audience;
  readonly #deadlines: Deadlines<Result | Error>;
  /** Which outage an error belongs to, for those who answer its call. */
  readonly #notices = new WeakMap<Error, OutageNotice>();

  constructor(options: GuardedStoreOptions<Call, Result>) {
    const { health, timeoutMs, breaker, events } = options;
    this.#options = options;
    this.#health = health;
    this.#audience = { events, quietMs: breaker?.probeEveryMs ?? DEFAULT_PROBE_EVERY_MS };
    this.#deadlines = new Deadlines<Result | Error>(
      timeoutMs,
      () => new StoreTimeoutError(timeoutMs),
    );
  }

  ask(call: Call, asker: Asker<Result>, options: AskOptions<Call, Result> = NO_OPTIONS): void {
    const { signal } = asker;
    if (signal?.aborted === true) {
      asker.reject(signal.reason as Error);
      return;
    }
    const submit = options.submit ?? this.#options.submit;
    if (!this.#options.external) {
      submit(call, (outcome) => {
        pass(asOutcome(outcome), asker);
      });
      return;
    }
    const attempt = this.#begin(call, options);
    if (attempt instanceof Error) {
      asker.complete(attempt);
      return;
    }
    const pending = this.#deadlines.begin((settled) => {
      endWatch?.();
      if (signal?.aborted === true) {
        call.abandoned = true;
        this.#ended(call, asker, attempt, undefined, options);
        asker.reject(signal.reason as Error);
        return;
      }
      if (settled instanceof StoreTimeoutError) call.abandoned = true;
      const outcome = asOutcome(settled);
      this.#ended(call, asker, attempt, outcome, options);
      pass(outcome, asker);
    }, asker.atMs);
    const endWatch =
      signal &&
      onAbort(signal, () => {
        this.#deadlines.settle(pending, ABORTED);
      });
    submit(call, (settled) => {
      if (!this.#deadlines.settle(pending, settled)) asker.late?.(settled);
    });
  }

  /**
   * How to report a failure, from when its call begins to be answered: the first call of an outage reports for all of
   * them, and a failure that is not the store's is always reported.
   */
  reporter(error: Error): (failure: ErrorEvent) => void {
    const notice = this.#notices.get(error);
    if (notice === undefined) return (failure) => this.#options.events.to.failure?.(failure);
    if (!notice.claim()) return () => {};
    return (failure) => {
      notice.report(failure);
    };
  }

  /** What the call is to be ended with; or, past an open breaker, the error to answer with. */
  #begin(call: Call, options: AskOptions<Call, Result>): Attempt | StoreUnavailableError {
    const health = this.#health;
    const { partOf, breaker: settings, timeoutMs } = this.#options;
    if (health.troubled.size === 0 && partOf === undefined) return UNTROUBLED;
    const part = partOf?.(call) ?? "";
    const trouble = settings && health.of(part, timeoutMs);
    if (trouble === undefined || options.always === true) return health.attempt(part, undefined);
    const breaker = trouble.breaker(settings as BreakerSettings);
    const admission = breaker.admit(monotonicMs());
    if (admission !== "refuse") {
      return health.attempt(part, admission === "probe" ? breaker : undefined);
    }
    const refusal = trouble.refusal(breaker);
    this.#report(refusal, trouble, options);
    return refusal;
  }

  /** Takes note before the caller is answered; `outcome` is undefined for a call that its caller gave up. */
  #ended(
    call: Call,
    { atMs, signal }: Asker<Result>,
    attempt: Attempt,
    outcome: Result | Error | undefined,
    options: AskOptions<Call, Result>,
  ): void {
    const { name, events, partOf } = this.#options;
    const error = outcome instanceof Error ? outcome : undefined;
    if (error === undefined && outcome !== undefined) {
      if (this.#health.troubled.size > 0) this.#health.worked(attempt);
    } else {
      const evidence = evidenceOf(outcome);
      if (evidence === "nothing") attempt.probed?.dropped(true);
      else if (evidence === "works") this.#health.worked(attempt);
      else if (error !== undefined) {
        const partNow = (): string => partOf?.(call) ?? "";
        const trouble = this.#health.failed(attempt, error, this.#options, partNow);
        this.#report(error, trouble, options);
      }
    }
    const { storeCall } = events.to;
    if (storeCall === undefined) return;
    const durationMs = monotonicMs() - atMs;
    const gaveUp = outcome === undefined ? (signal?.reason as Error) : undefined;
    storeCall({ caller: name, part: attempt.part, durationMs, error: error ?? gaveUp });
  }

  /** Which outage the error is of, and what the call got in place of an answer, for everyone who asked. */
  #report(error: Error, trouble: PartHealth, options: AskOptions<Call, Result>): void {
    const { others = NONE, instead = this.#options.instead } = options;
    this.#count(error, trouble, instead);
    for (const other of others) other.#count(error, trouble, other.#options.instead);
    const notice = this.#storeNotice(trouble);
    if (notice?.claim() === true) notice.report({ error, key: "", cost: 0 });
  }

  #count(error: Error, trouble: PartHealth, instead: Instead): void {
    const notice = trouble.notice(this.#audience);
    this.#notices.set(error, notice);
    notice.count(instead);
    this.#storeNotice(trouble)?.count(instead);
  }

  /** The outage as the store's own listeners hear of it. */
  #storeNotice(trouble: PartHealth): OutageNotice | undefined {
    const { audience } = this.#health;
    return audience && (this.#health.firstOf(trouble.part) ?? trouble).notice(audience);
  }
}

function pass<Result>(outcome: Result | Error, asker: Asker<Result>): void {
  if (isMisuse(outcome)) asker.reject(outcome);
  else asker.complete(outcome);
}

/** The attempt of every call that begins while all parts of the store work. */
const UNTROUBLED: Attempt = Object.freeze({ part: "", failuresBefore: 0, probed: undefined });
const NO_OPTIONS = Object.freeze({});
const NONE: readonly never[] = [];
/** Ends the wait of a call whose signal says why. */
const ABORTED = new Error("aborted");

/** What the caller has to mend, whatever the failure policy. */
function isMisuse(outcome: unknown): outcome is Error {
  return outcome instanceof InvalidOptionError || outcome instanceof CrossSlotError;
}

function asOutcome<Result>(outcome: Result | Error): Result | Error {
  return outcome instanceof Error ? asStoreError(outcome) : outcome;
}

/**
 * How a limiter or a semaphore asks its store: within its deadline, past an open breaker not at all, and with a record
 * of every failure. Failures are outcomes; misuse and an aborted signal reject.
 *
 * What a failure sets in motion: the call ends (#ended) → is it evidence against the store? (evidenceOf and isBusy in
 * store-health.ts) → the part's breakers count it (part-health.ts) → everyone who asked gets a notice of the outage
 * (#report, outage.ts) → the first caller to be answered reports it (reporter) → listeners and hooks hear of it (events/).
 * A decision counts for the store even if it comes late (#decided).
 */
import { onAbort } from "../core/abort.js";
import type { Closing } from "../core/closing.js";
import { monotonicMs } from "../core/clock.js";
import { type StoreUnavailableError, StoreTimeoutError } from "../core/errors.js";
import type { ErrorEvent, Events, Instead } from "../events/events.js";
import { assumedHandOver, happened, type Submitted } from "../stores/hand-over.js";
import { type Asker, asOutcome, contain, pass } from "./asker.js";
import { type BreakerSettings, DEFAULT_PROBE_EVERY_MS } from "./breaker.js";
import { Deadlines, handOverOf, type Pending } from "./deadlines.js";
import type { Audience, OutageNotice } from "./outage.js";
import { warnOfOutage } from "./outage-warning.js";
import { isRefusal, type PartHealth } from "./part-health.js";
import { type Asking, type Attempt, evidenceOf, isBusy, type StoreHealth } from "./store-health.js";

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
  /** The end of who asks, and of the store. */
  readonly closing: Closing;
  /** What a call gets that the store does not answer. */
  readonly instead: Instead;
  /** The part of the store that decides a call; undefined if it has no parts. */
  readonly partOf: ((call: Call) => string) | undefined;
  /** Asks the store, which calls `done` once. */
  readonly submit: Submit<Call, Result>;
  /** Whether the store says when it hands a call to its client. */
  readonly marksHandOver: boolean;
  /**
   * Has the store send at once a call that still waits in this process though its time is over, because others need what it
   * does; false if it may be dropped.
   */
  readonly hurry?: ((call: Call) => boolean) | undefined;
}

type Submit<Call, Result> = (call: Call, done: (outcome: Result | Error) => void) => void;

export interface AskOptions<Call extends Submitted, Result extends object> {
  /** What the caller gets without an answer, if not what the option says. */
  readonly instead?: Instead;
  /** Instead of the store's own. */
  readonly submit?: Submit<Call, Result> | undefined;
  /** Other users on whose behalf this call is made too: they report its outage, and count it. */
  readonly others?: readonly GuardedStore<Call, Result>[];
  /** Asks past an open breaker too: what keeps alive what is held must not wait for a probe. */
  readonly always?: boolean;
}

/**
 * A call, its caller, and its wait, in one object. It must call `takePlain` with what it takes from the store, and `endPlain`
 * when the wait is done.
 */
export interface PlainAsk<Call extends Submitted, Result>
  extends Asker<Result>,
    Pending<Call, Result | Error> {
  readonly atMs: number;
  /** From the store, once: a bound method takes half the memory of a function of its own. */
  take(settled: Result | Error): void;
}

export class GuardedStore<Call extends Submitted, Result extends object> implements Asking {
  readonly #options: GuardedStoreOptions<Call, Result>;
  readonly #health: StoreHealth;
  readonly #audience: Audience;
  readonly #deadlines: Deadlines<Call, Result | Error>;
  #isAsking = false;
  /** Which outage an error belongs to, for those who answer its call. */
  readonly #notices = new WeakMap<Error, OutageNotice>();
  /** Calls that an open breaker let through, as its probe or in spite of it. */
  readonly #letThrough = new WeakSet<Call>();

  constructor(options: GuardedStoreOptions<Call, Result>) {
    const { health, timeoutMs, breaker, events } = options;
    this.#options = options;
    this.#health = health;
    this.#audience = { events, quietMs: breaker?.probeEveryMs ?? DEFAULT_PROBE_EVERY_MS };
    this.#deadlines = new Deadlines<Call, Result | Error>({
      timeoutMs,
      heartbeat: health.heartbeat,
      late: LATE,
      hurry: options.hurry,
      rests: () => {
        this.#isAsking = false;
        health.asking.delete(this);
      },
    });
  }

  ask(call: Call, asker: Asker<Result>, options: AskOptions<Call, Result> = NO_OPTIONS): void {
    const { signal } = asker;
    const { closing } = this.#options;
    if (closing.isStoreClosed) {
      asker.reject(closing.error());
      return;
    }
    if (signal?.aborted === true) {
      asker.reject(signal.reason as Error);
      return;
    }
    const submit = options.submit ?? this.#options.submit;
    if (!this.#options.external) {
      submit(call, (outcome) => {
        contain(asker, () => {
          pass(asOutcome(outcome), asker);
        });
      });
      return;
    }
    // Also if the breaker opens later, while the call still waits in this process.
    if (options.always === true) this.#letThrough.add(call);
    const attempt = this.#begin(call, options);
    if (attempt instanceof Error) {
      this.#health.counts.refused(attempt);
      asker.complete(attempt);
      return;
    }
    // For stores that do not say when, it is now.
    call.handOver = this.#options.marksHandOver ? undefined : assumedHandOver(asker.atMs);
    this.#startAsking();
    this.#health.counts.asked += 1;
    const pending = this.#deadlines.begin(
      call,
      (settled) => {
        contain(asker, () => {
          const outcome = this.#outcomeOf(settled, call, attempt);
          this.#ended(call, asker, attempt, outcome, options);
          endWatch?.();
          pass(outcome, asker);
        });
      },
      asker.atMs,
    );
    const endWatch =
      signal &&
      onAbort(signal, () => {
        this.#giveUp(pending, asker, attempt);
        asker.reject(signal.reason as Error);
      });
    submit(call, (settled) => {
      if (this.#deadlines.settle(pending, settled)) return;
      if (!(settled instanceof Error)) this.#decided(call, attempt);
      asker.late?.(settled);
    });
  }

  /** Whether there is nothing to look at before a call but its deadline: the store is open, and no part of it troubled. */
  get isAtEase(): boolean {
    const { external, partOf, closing } = this.#options;
    return (
      external && partOf === undefined && this.#health.troubled.size === 0 && !closing.isStoreClosed
    );
  }

  /** `ask` for a call that its caller will not abort, while `isAtEase`. */
  askPlain(plain: PlainAsk<Call, Result>): void {
    const { call } = plain;
    call.handOver = this.#options.marksHandOver ? undefined : assumedHandOver(plain.atMs);
    this.#startAsking();
    this.#health.counts.asked += 1;
    this.#deadlines.add(plain);
    this.#options.submit(call, plain.take.bind(plain));
  }

  /** What the store says of a plain call, in time or late. */
  takePlain(plain: PlainAsk<Call, Result>, settled: Result | Error): void {
    if (this.#deadlines.settle(plain, settled) || settled instanceof Error) return;
    this.#decided(plain.call, UNTROUBLED);
  }

  /** Ends a plain call with its outcome, or because its time is over. */
  endPlain(plain: PlainAsk<Call, Result>, settled: Result | Error): void {
    try {
      if (!(settled instanceof Error)) {
        this.#answered(plain.call, plain, UNTROUBLED);
        plain.complete(settled);
        return;
      }
      const outcome = this.#outcomeOf(settled, plain.call, UNTROUBLED);
      this.#ended(plain.call, plain, UNTROUBLED, outcome, NO_OPTIONS);
      pass(outcome, plain);
    } catch (error) {
      plain.reject(error as Error);
    }
  }

  /**
   * The store decided a call, however late, and even if its caller no longer waits. A call that did not itself reach the
   * store has no hand-over.
   */
  #decided(call: Call, attempt: Attempt): void {
    const { lastDecided, troubled } = this.#health;
    const handOver = handOverOf(call);
    const isFirst = handOver?.isDecided === false;
    if (isFirst) {
      handOver.isDecided = true;
      happened.count += 1;
      lastDecided.set(attempt.part, happened.count);
    }
    if (troubled.size > 0) this.#health.decided(attempt, handOver, isFirst);
  }

  #outcomeOf(settled: Result | Error, call: Call, attempt: Attempt): Result | Error {
    const { closing } = this.#options;
    // Whatever it failed with: that is the end of the store, and no outage.
    if (closing.isStoreClosed && settled instanceof Error) {
      call.abandoned = true;
      return closing.error();
    }
    return settled === LATE ? this.#late(call, attempt) : asOutcome(settled);
  }

  #startAsking(): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#health.asking.add(this);
  }

  /**
   * Its caller has given up. The outcome of a probe counts all the same: else, with impatient callers, no probe would ever
   * close the breaker.
   */
  #giveUp(pending: Pending<Call, Result | Error>, asker: Asker<Result>, attempt: Attempt): void {
    const { call } = pending;
    this.#health.counts.aborted += 1;
    this.#emit(attempt, asker.atMs, asker.signal?.reason as Error);
    if (attempt.probed !== undefined) {
      pending.done = (settled) => {
        const outcome = this.#outcomeOf(settled, call, attempt);
        this.#learn(call, asker, attempt, outcome);
      };
      return;
    }
    call.abandoned = true;
    pending.done = () => {};
    this.#deadlines.settle(pending, LATE);
  }

  hasCallsFromBefore(ms: number): boolean {
    return this.#deadlines.hasFromBefore(ms);
  }

  /** Answers at once the calls that wait in this process, if the breaker is open. */
  refuseQueued(): void {
    const { breaker: settings, timeoutMs, partOf } = this.#options;
    if (settings === undefined) return;
    this.#deadlines.settleWhere((call) => {
      if (handOverOf(call) !== undefined || this.#letThrough.has(call)) return undefined;
      const trouble = this.#health.of(partOf?.(call) ?? "", timeoutMs);
      const breaker = trouble?.breaker(settings);
      if (breaker?.isOpen !== true) return undefined;
      call.abandoned = true;
      return trouble?.refusal(breaker);
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
    // If the store has no events, only this can warn once an outage.
    if (this.#health.audience === undefined) this.#warnUnlessHeard(error, NONE);
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
    if (trouble === undefined) return health.attempt(part, undefined);
    if (options.always === true) return health.attempt(part, undefined);
    const breaker = trouble.breaker(settings as BreakerSettings);
    const admission = breaker.admit(monotonicMs());
    if (admission === "probe") this.#letThrough.add(call);
    if (admission !== "refuse") {
      return health.attempt(part, admission === "probe" ? breaker : undefined);
    }
    const refusal = trouble.refusal(breaker);
    this.#report(refusal, trouble, options);
    return refusal;
  }

  /** The time of a call is over: had the client got it, and was the store busy with others? */
  #late(call: Call, { part }: Attempt): StoreTimeoutError {
    call.abandoned = true;
    const handOver = handOverOf(call);
    const sent = handOver !== undefined;
    const busy = !sent || this.#health.hasDecidedSince(part, handOver);
    return new StoreTimeoutError(this.#options.timeoutMs, { sent, busy });
  }

  /** Takes note before the caller is answered. */
  #ended(
    call: Call,
    asker: Asker<Result>,
    attempt: Attempt,
    outcome: Result | Error,
    options: AskOptions<Call, Result>,
  ): void {
    if (!(outcome instanceof Error)) {
      endProbe(attempt, outcome);
      this.#answered(call, asker, attempt);
      return;
    }
    this.#health.counts.failed(outcome);
    const trouble = isRefusal(outcome)
      ? this.#health.of(attempt.part, this.#options.timeoutMs)
      : this.#learn(call, asker, attempt, outcome);
    if (trouble !== undefined) this.#report(outcome, trouble, options);
    this.#emit(attempt, asker.atMs, outcome);
  }

  #answered(call: Call, { atMs }: Asker<Result>, attempt: Attempt): void {
    this.#health.counts.answered += 1;
    this.#decided(call, attempt);
    const { to } = this.#options.events;
    if (to.storeCall !== undefined) this.#emit(attempt, atMs, undefined);
  }

  /** What an outcome says of the store; the trouble that it is part of, if that is the store's. */
  #learn(
    call: Call,
    { atMs }: Asker<Result>,
    attempt: Attempt,
    outcome: Result | Error,
  ): PartHealth | undefined {
    endProbe(attempt, outcome);
    const evidence = outcome instanceof Error ? evidenceOf(outcome) : "works";
    if (evidence === "works") this.#decided(call, attempt);
    if (evidence !== "fails" || !(outcome instanceof Error)) return undefined;
    const partNow = (): string => this.#options.partOf?.(call) ?? "";
    const { breaker, timeoutMs } = this.#options;
    return this.#health.failed(attempt, outcome, { atMs, breaker, timeoutMs }, partNow);
  }

  #emit({ part }: Attempt, atMs: number, error: Error | undefined): void {
    const { name, events } = this.#options;
    events.to.storeCall?.({ caller: name, part, durationMs: monotonicMs() - atMs, error });
  }

  /** Which outage the error is of, and what the call got instead of an answer, for everyone who asked. */
  #report(error: Error, trouble: PartHealth, options: AskOptions<Call, Result>): void {
    const { others = NONE, instead = this.#options.instead } = options;
    this.#count(error, trouble, instead);
    for (const other of others) other.#count(error, trouble, other.#options.instead);
    const notice = this.#storeNotice(trouble);
    if (notice?.claim() !== true) return;
    const isHeard = this.#health.audience?.events.to.failure !== undefined;
    if (!isHeard) this.#warnUnlessHeard(error, others);
    notice.report({ error, key: "", cost: 0 });
  }

  /** Without this warning, an operator without hooks would learn of an outage from users. */
  #warnUnlessHeard(error: Error, others: readonly GuardedStore<Call, Result>[]): void {
    const isHeard = [this, ...others].some((each) => each.#options.events.to.failure !== undefined);
    if (!isHeard) warnOfOutage(error);
  }

  #count(error: Error, trouble: PartHealth, instead: Instead): void {
    const notice = trouble.notice(this.#audience);
    const busy = isBusy(error);
    this.#notices.set(error, notice);
    notice.count(instead, busy);
    this.#storeNotice(trouble)?.count(instead, busy);
  }

  /** The outage as the store's own listeners hear of it. */
  #storeNotice(trouble: PartHealth): OutageNotice | undefined {
    const { audience } = this.#health;
    return audience && (this.#health.firstOf(trouble.part) ?? trouble).notice(audience);
  }
}

/** Lets the next probe go. Its answer, if it had one, may have come too late to close the breaker. */
function endProbe({ probed }: Attempt, outcome: object): void {
  if (probed === undefined) return;
  if (outcome instanceof StoreTimeoutError && !outcome.sent) probed.passTurn(monotonicMs());
  else probed.probeEnded();
}

/** The attempt of every call that begins while all parts of the store work. */
const UNTROUBLED: Attempt = Object.freeze({ part: "", failuresBefore: 0, probed: undefined });
const NO_OPTIONS = Object.freeze({});
const NONE: readonly never[] = [];
/** Ends the wait of a call whose time is over. */
const LATE = new Error("late");

/**
 * What is known of a store's health, for all limiters and semaphores of it in this process. A part that does not fail
 * has no entry: a healthy store costs next to nothing, and the set stays bounded.
 */
import { atEndOfTick, monotonicMs } from "../core/clock.js";
import {
  ClosedError,
  CrossSlotError,
  InvalidOptionError,
  StoreTimeoutError,
  StoreUnavailableError,
} from "../core/errors.js";
import { Heartbeat } from "../core/heartbeat.js";
import type { Events } from "../events/events.js";
import type { HandOver } from "../stores/hand-over.js";
import type { Store } from "../stores/store.js";
import { StoreCounts } from "../stores/store-counts.js";
import { type Breaker, type BreakerSettings, DEFAULT_PROBE_EVERY_MS } from "./breaker.js";
import type { Audience } from "./outage.js";
import { PartHealth } from "./part-health.js";

/** A call on its way to the store: what was known when it began. */
export interface Attempt {
  /** The part of the store that decides it; "" = all of it, or unknown. */
  readonly part: string;
  /** Failures of the store before it. */
  readonly failuresBefore: number;
  /** The open breaker that let it through. */
  readonly probed: Breaker | undefined;
}

/** A caller of a store, which may have calls that wait in this process. */
export interface Asking {
  /** Whether a call that began before then is under way. */
  hasCallsFromBefore(ms: number): boolean;
  /** Answers at once the calls that were not handed to the store, if the breaker is open. */
  refuseQueued(): void;
}

/** The health of every store, which many may use. */
const healths = new WeakMap<object, StoreHealth>();

/** The health that all users of `store` share. */
export function healthOf(store: Pick<Store, "events" | "counts">): StoreHealth {
  let health = healths.get(store);
  if (health === undefined) {
    health = new StoreHealth(store.events, store.counts);
    healths.set(store, health);
  }
  return health;
}

export class StoreHealth {
  /** The parts that failed, for each timeout of those who met it. */
  readonly troubled = new Set<PartHealth>();
  /** The store's own listeners, beside those of its limiters and semaphores. */
  readonly audience: Audience | undefined;
  readonly heartbeat = new Heartbeat();
  /** Callers with calls under way. */
  readonly asking = new Set<Asking>();
  #failures = 0;
  /** When each part last decided anything, in the order of hand-overs. */
  readonly lastDecided = new Map<string, number>();

  /** What its users ask and get, in numbers. */
  readonly counts: StoreCounts;

  constructor(events: Events | undefined, counts = new StoreCounts()) {
    this.audience = events && { events, quietMs: DEFAULT_PROBE_EVERY_MS };
    this.counts = counts;
    const partsThat = (is: (each: PartHealth) => boolean): readonly string[] => [
      ...new Set([...this.troubled].filter(is).map(({ part }) => part)),
    ];
    counts.openParts = () => partsThat((each) => each.hasOpenBreaker);
    counts.probedParts = () => partsThat((each) => each.isProbed);
  }

  /** What a call that begins now is to be ended with. */
  attempt(part: string, probed: Breaker | undefined): Attempt {
    return { part, failuresBefore: this.#failures, probed };
  }

  /** Whether the part decided anything since that hand-over. */
  hasDecidedSince(part: string, handOver: HandOver): boolean {
    return (this.lastDecided.get(part) ?? 0) > handOver.order;
  }

  /** The store decided a call while a part of it is troubled; `isFirst` of those that were handed over together. */
  decided(attempt: Attempt, handOver: HandOver | undefined, isFirst: boolean): void {
    const { part } = attempt;
    const nowMs = monotonicMs();
    const startedAtMs = handOver?.startedAtMs;
    for (const trouble of this.troubled) {
      if (trouble.part === part) {
        if (startedAtMs !== undefined && this.#isTooLate(startedAtMs, trouble, nowMs)) {
          if (isFirst && trouble.decidedTooLate(startedAtMs, nowMs)) this.#refuseQueued();
          continue;
        }
        trouble.decided();
      }
      this.#endIfAnswered(trouble, attempt, nowMs);
    }
  }

  /** Whether the answer took longer than this timeout, although this process was ready to read it. */
  #isTooLate(startedAtMs: number, { timeoutMs }: PartHealth, nowMs: number): boolean {
    return (
      nowMs - startedAtMs > timeoutMs && !this.heartbeat.mayHaveStalledSince(startedAtMs, nowMs)
    );
  }

  /**
   * Some calls of an outage may succeed: denials of a server that refuses writes, or what passes between losses. So an
   * outage is over only when the store has answered for a while without a failure, and every call from before is answered:
   * it may still be lost. There is no timer for that: the next call that ends finds out.
   */
  #endIfAnswered(trouble: PartHealth, { part, failuresBefore }: Attempt, nowMs: number): void {
    if (failuresBefore < trouble.lastFailure) return;
    // A dead node may never be asked again: the node that now answers instead ends its outage.
    if (trouble.part !== part && trouble.partNow() !== part) return;
    if (trouble.answeredAtMs === undefined) trouble.answered(nowMs);
    else this.#endIfOver(trouble, nowMs);
  }

  #endIfOver(trouble: PartHealth, nowMs: number): void {
    trouble.endIfOver(
      nowMs,
      (ms) => [...this.asking].some((each) => each.hasCallsFromBefore(ms)),
      () => this.troubled.delete(trouble),
    );
  }

  /** The trouble of a part for users with this timeout: errors that others got count for them too. */
  of(part: string, timeoutMs: number): PartHealth | undefined {
    const known = this.#find(part, timeoutMs);
    if (known !== undefined) return known;
    const broken = [...this.troubled].find((each) => each.part === part && each.isBroken);
    return broken && this.#begin(part, timeoutMs, broken);
  }

  /** A troubled part as the first user that met the trouble sees it: the store's own listeners get their notice from that. */
  firstOf(part: string): PartHealth | undefined {
    return [...this.troubled].find((each) => each.part === part);
  }

  /**
   * A call got no answer. An error counts against the part for every caller. Silence counts only for callers whose timeout
   * is no longer, since a store that is late for 5 ms may be in time for 250. A call that was not sent, or was overtaken by
   * others, counts for no caller. `own` is when it began, and what its caller chose; `partNow` says which part decides the
   * call that failed, now and later.
   */
  failed(
    { part }: Attempt,
    error: Error,
    own: {
      readonly atMs: number;
      readonly breaker: BreakerSettings | undefined;
      readonly timeoutMs: number;
    },
    partNow: () => string,
  ): PartHealth {
    this.#endWhatIsOver(part, own.atMs);
    const { timeoutMs, breaker } = own;
    const trouble = this.of(part, timeoutMs) ?? this.#begin(part, timeoutMs);
    // Made before it counts, so that it opens at the failure and not at the next call.
    if (breaker !== undefined) trouble.breaker(breaker);
    this.#failures += 1;
    if (isBusy(error)) {
      trouble.partNow = partNow;
      trouble.unanswered(error, this.#failures);
      return trouble;
    }
    const waitedMs =
      error instanceof StoreTimeoutError ? error.timeoutMs : Number.POSITIVE_INFINITY;
    for (const each of this.troubled) {
      if (each.part !== part || (each !== trouble && each.timeoutMs > waitedMs)) continue;
      each.partNow = partNow;
      if (each.failed(error, this.#failures)) this.#refuseQueued();
    }
    return trouble;
  }

  /** After what is under way now: waits end there. */
  #refuseQueued(): void {
    atEndOfTick(() => {
      for (const each of this.asking) each.refuseQueued();
    });
  }

  /** Ends the troubles of a part that were over when a call began. A listener of an end may meet the next one. */
  #endWhatIsOver(part: string, atMs: number): void {
    const nowMs = monotonicMs();
    for (const each of this.troubled) {
      const { answeredAtMs = Number.POSITIVE_INFINITY } = each;
      if (each.part === part && answeredAtMs <= atMs) this.#endIfOver(each, nowMs);
    }
  }

  #find(part: string, timeoutMs: number): PartHealth | undefined {
    for (const each of this.troubled) {
      if (each.part === part && each.timeoutMs === timeoutMs) return each;
    }
    return undefined;
  }

  #begin(part: string, timeoutMs: number, known?: PartHealth): PartHealth {
    const trouble = new PartHealth(part, timeoutMs, known);
    this.troubled.add(trouble);
    return trouble;
  }
}

/** What an outcome says of the store: it decided, or looked and refused this one call; it fails; or nothing. */
export function evidenceOf(error: Error): "works" | "fails" | "nothing" {
  if (error instanceof CrossSlotError || error instanceof ClosedError) return "nothing";
  if (error instanceof InvalidOptionError) return "works";
  return error instanceof StoreUnavailableError && error.ofKey ? "works" : "fails";
}

/** Whether there was no answer because of too much to do, here or at the store. */
export function isBusy(error: Error): boolean {
  return (
    (error instanceof StoreTimeoutError || error instanceof StoreUnavailableError) && error.busy
  );
}

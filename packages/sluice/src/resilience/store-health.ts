/**
 * What is known of a store's health, for all limiters and semaphores of it in this process. A part that does not fail
 * has no entry: a healthy store costs next to nothing, and the set stays bounded.
 */
import { monotonicMs } from "../core/clock.js";
import {
  CrossSlotError,
  InvalidOptionError,
  StoreTimeoutError,
  StoreUnavailableError,
} from "../core/errors.js";
import type { Events } from "../events/events.js";
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

/** The health of every store, which many may use. */
const healths = new WeakMap<object, StoreHealth>();

/** The health that all users of `store` share. */
export function healthOf(store: { readonly events?: Events | undefined }): StoreHealth {
  let health = healths.get(store);
  if (health === undefined) {
    health = new StoreHealth(store.events);
    healths.set(store, health);
  }
  return health;
}

export class StoreHealth {
  /** The parts that failed, for each timeout of those who met it. */
  readonly troubled = new Set<PartHealth>();
  /** The store's own listeners, beside those of its limiters and semaphores. */
  readonly audience: Audience | undefined;
  #failures = 0;

  constructor(events: Events | undefined) {
    this.audience = events && { events, quietMs: DEFAULT_PROBE_EVERY_MS };
  }

  /** What a call that begins now is to be ended with. */
  attempt(part: string, probed: Breaker | undefined): Attempt {
    return { part, failuresBefore: this.#failures, probed };
  }

  /**
   * Some calls of an outage may succeed: denials of a server that refuses writes, or what passes between losses. So an
   * outage is over only when the store has answered for a while without a failure. There is no timer for that: the
   * next call that ends finds out.
   */
  worked({ part, failuresBefore, probed }: Attempt): void {
    if (this.troubled.size === 0) return;
    const nowMs = monotonicMs();
    for (const trouble of this.troubled) {
      if (trouble.part === part) trouble.worked(probed);
      if (failuresBefore < trouble.lastFailure) continue;
      // A dead node may never be asked again: what now answers in its place ends its outage.
      if (trouble.part !== part && trouble.partNow() !== part) continue;
      if (trouble.answeredAtMs === undefined) trouble.answered(nowMs);
      else trouble.endIfOver(nowMs, () => this.troubled.delete(trouble));
    }
  }

  /** The trouble of a part for those who wait so long: what others learned of it by an error counts for them too. */
  of(part: string, timeoutMs: number): PartHealth | undefined {
    const known = this.#find(part, timeoutMs);
    if (known !== undefined) return known;
    const broken = [...this.troubled].find((each) => each.part === part && each.isBroken);
    return broken && this.#begin(part, timeoutMs, broken);
  }

  /** Where the store's own listeners hear of a part: with the first of its users who met the trouble. */
  firstOf(part: string): PartHealth | undefined {
    return [...this.troubled].find((each) => each.part === part);
  }

  /**
   * An error speaks against the part whoever waits; silence only to those who wait no longer, since a store that is late
   * for 5 ms may be in time for 250. `own` is what the caller chose; `partNow` says which part decides the call that
   * failed, now and later.
   */
  failed(
    { part, probed }: Attempt,
    error: Error,
    own: { readonly breaker: BreakerSettings | undefined; readonly timeoutMs: number },
    partNow: () => string,
  ): PartHealth {
    this.#endWhatIsOver(part);
    const { timeoutMs, breaker } = own;
    const trouble = this.of(part, timeoutMs) ?? this.#begin(part, timeoutMs);
    // Made before it counts, so that it opens at the failure and not at the next call.
    if (breaker !== undefined) trouble.breaker(breaker);
    this.#failures += 1;
    const waitedMs =
      error instanceof StoreTimeoutError ? error.timeoutMs : Number.POSITIVE_INFINITY;
    for (const each of this.troubled) {
      if (each.part !== part || (each !== trouble && each.timeoutMs > waitedMs)) continue;
      each.partNow = partNow;
      each.failed(error, this.#failures, probed);
    }
    return trouble;
  }

  /** Ends the troubles of a part that were over before now. A listener of an end may meet the next one. */
  #endWhatIsOver(part: string): void {
    const nowMs = monotonicMs();
    for (const each of this.troubled) {
      if (each.part === part) each.endIfOver(nowMs, () => this.troubled.delete(each));
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

/** What an outcome says of the store; undefined is a call that its caller gave up. */
export function evidenceOf(outcome: object | undefined): "works" | "fails" | "nothing" {
  if (outcome === undefined || outcome instanceof CrossSlotError) return "nothing";
  if (!(outcome instanceof Error)) return "works";
  // It looked, and refused this one call.
  if (outcome instanceof InvalidOptionError) return "works";
  return outcome instanceof StoreUnavailableError && outcome.ofKey ? "works" : "fails";
}

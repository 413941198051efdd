/**
 * What is known of a store's health, for all limiters and semaphores of it in this process. A part that does not fail
 * has no entry: a healthy store costs next to nothing, and the map stays bounded.
 */
import { monotonicMs } from "../core/clock.js";
import { CrossSlotError, InvalidOptionError, StoreUnavailableError } from "../core/errors.js";
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
  /** The parts that failed. */
  readonly troubled = new Map<string, PartHealth>();
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
    this.troubled.get(part)?.worked(probed);
    for (const [name, trouble] of this.troubled) {
      if (failuresBefore < trouble.lastFailure) continue;
      // A dead node may never be asked again: what now answers in its place ends its outage.
      if (name !== part && trouble.partNow() !== part) continue;
      if (trouble.answeredAtMs === undefined) trouble.answered(nowMs);
      else trouble.endIfOver(nowMs, () => this.troubled.delete(name));
    }
  }

  /** `own` is what the caller chose; `partNow` says which part decides the call that failed, now and later. */
  failed(
    { part, probed }: Attempt,
    error: Error,
    own: { readonly breaker: BreakerSettings | undefined; readonly timeoutMs: number },
    partNow: () => string,
  ): PartHealth {
    const trouble = this.#underWay(part) ?? this.#begin(part);
    this.#failures += 1;
    trouble.partNow = partNow;
    // Made before it counts, so that it opens at the failure and not at the next call.
    if (own.breaker !== undefined) trouble.breaker(own.breaker, own.timeoutMs);
    trouble.failed(error, this.#failures, probed);
    return trouble;
  }

  /** The trouble of a part, unless it was over before now. */
  #underWay(part: string): PartHealth | undefined {
    this.troubled.get(part)?.endIfOver(monotonicMs(), () => this.troubled.delete(part));
    // Not what it was before: a listener of the end may have met the next trouble.
    return this.troubled.get(part);
  }

  #begin(part: string): PartHealth {
    const trouble = new PartHealth(part);
    this.troubled.set(part, trouble);
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

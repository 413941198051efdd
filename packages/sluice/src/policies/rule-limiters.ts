/** The limiters behind a PolicySet: one for each way to answer while the store is away, made when it is first needed. */
import { type Events, type EventName, forwardEvents } from "../events/events.js";
import type { OnStoreFailure, RateLimiterOptions } from "../limiter/options.js";
import { pipelineOf } from "../limiter/limiter-class.js";
import { RateLimiter } from "../limiter/rate-limiter.js";
import type { LimiterStats } from "../limiter/stats.js";
import type { Store } from "../stores/store.js";

export interface RuleLimiterOptions
  extends Pick<RateLimiterOptions, "namespace" | "identity" | "timeout" | "breaker" | "denyCache"> {
  readonly store: Store;
}

type FailureChoice = Extract<OnStoreFailure, string>;

/** What happens in a limiter happens in the set. */
const FORWARDED = [
  "decision",
  "undecided",
  "denial",
  "storeCall",
  "adjusted",
  "failure",
  "recovery",
] as const satisfies readonly EventName[];

export class RuleLimiters {
  readonly #options: RuleLimiterOptions;
  readonly #events: Events;
  readonly #limiters = new Map<FailureChoice, RateLimiter>();

  /** `events` hears of all that happens in them. */
  constructor(options: RuleLimiterOptions, events: Events) {
    this.#options = options;
    this.#events = events;
  }

  /** All that were made, in order. */
  get all(): readonly RateLimiter[] {
    return [...this.#limiters.values()];
  }

  /** The one that answers so while the store is away. */
  of(onStoreFailure: FailureChoice): RateLimiter {
    let limiter = this.#limiters.get(onStoreFailure);
    if (limiter === undefined) {
      limiter = new RateLimiter({ ...this.#options, onStoreFailure });
      forwardEvents(limiter.events, this.#events, FORWARDED);
      this.#limiters.set(onStoreFailure, limiter);
    }
    return limiter;
  }

  /** Releases the names that are not used any more. */
  forgetNames(): void {
    for (const limiter of this.#limiters.values()) pipelineOf(limiter)?.resolver.forgetNames();
  }

  /** The counts of all of them together; `overrides` are the document's. */
  stats(overrides: number): LimiterStats {
    const [first, ...others] = this.all.map((limiter) => limiter.stats());
    return { ...others.reduce(sumOf, first as LimiterStats), overrides };
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((limiter) => limiter.close()));
  }
}

/** Lists are appended; their readers add up entries with the same labels. */
function sumOf(a: LimiterStats, b: LimiterStats): LimiterStats {
  return {
    limiter: a.limiter,
    allowed: a.allowed + b.allowed,
    denied: a.denied + b.denied,
    shadowDenied: a.shadowDenied + b.shadowDenied,
    withoutStore: a.withoutStore + b.withoutStore,
    nearLimit: a.nearLimit + b.nearLimit,
    aborted: a.aborted + b.aborted,
    failed: a.failed + b.failed,
    units: {
      allowed: a.units.allowed + b.units.allowed,
      denied: a.units.denied + b.units.denied,
      shadowDenied: a.units.shadowDenied + b.units.shadowDenied,
    },
    decisions: [...a.decisions, ...b.decisions],
    policies: [...a.policies, ...b.policies],
    shadows: [...a.shadows, ...b.shadows],
    // A rule is not waited for, and nothing is taken ahead.
    waits: a.waits,
    prefetch: a.prefetch,
    deniedKeys: a.deniedKeys + b.deniedKeys,
    overrides: a.overrides + b.overrides,
  };
}

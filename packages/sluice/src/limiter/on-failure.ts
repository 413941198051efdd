/** What callers get when the store has not answered: by the option `onStoreFailure`. */
import { VERBS } from "../algorithms/decide.js";
import { UNIT } from "../core/amount.js";
import type { Instead } from "../events/events.js";
import type { Decision } from "../core/decision.js";
import { PolicyUnavailableError, StoreUnavailableError } from "../core/errors.js";
import { isSyncStore, type Store, type SyncStore } from "../stores/store.js";
import { degradedDecision } from "./decisions.js";
import type { LocalDecisions } from "./local/local-decisions.js";
import { checkFailurePolicy, type OnStoreFailure } from "./options.js";
import type { BoundPolicy } from "./bound-policies.js";
import { type ReportingLimiter, undecided } from "./report.js";
import type { LimiterAnswer, LimiterRequest, PreparedRequest, RequestRunner } from "./request.js";

/** What a consume that is answered at once was asked. */
export type Asked = Pick<LimiterRequest, "key" | "cost" | "slot">;
type ConsumeHere = (asked: Asked) => Decision;

const INSTEAD = {
  local: "local",
  open: "failOpen",
  closed: "failClosed",
  throw: "thrown",
} as const;

/** The source of answers that nothing decides. */
const SOURCES = { local: "local", open: "fail-open", closed: "fail-closed" } as const;

/** A limiter that decides instead of the store. */
type Fallback = RequestRunner & {
  readonly store: Store;
  consumeSync(store: SyncStore, key: string, options: Omit<Asked, "key">): Decision;
};

/** Checks the option; `fallbackOf` finds the way of requests through a limiter. */
export function failurePolicy(
  option: unknown,
  fallbackOf: (limiter: unknown) => Fallback | undefined,
): OnFailure {
  const policy = checkFailurePolicy(option, (value) => fallbackOf(value) !== undefined);
  const fallback = typeof policy === "object" ? fallbackOf(policy.fallback) : undefined;
  const { store } = fallback ?? {};
  const consumeHere =
    fallback !== undefined && store !== undefined && isSyncStore(store)
      ? ({ key, cost, slot }: Asked) => fallback.consumeSync(store, key, { cost, slot })
      : undefined;
  return new OnFailure(policy, fallback, consumeHere);
}

export class OnFailure {
  /** What a call gets, as outages count it. */
  readonly instead: Instead;
  /** Decides instead of the store, if `onStoreFailure` is a limiter. */
  readonly fallback: RequestRunner | undefined;
  readonly #policy: OnStoreFailure;

  readonly #consumeHere: ConsumeHere | undefined;

  /**
   * `fallback` is the pipeline of the fallback limiter, if `onStoreFailure` is one, and `consumeHere` runs synchronous
   * consumes through it, if its store is inside the process.
   */
  constructor(
    policy: OnStoreFailure,
    fallback: RequestRunner | undefined,
    consumeHere: ConsumeHere | undefined,
  ) {
    this.#policy = policy;
    this.fallback = fallback;
    this.#consumeHere = consumeHere;
    this.instead = typeof policy === "object" ? "fallback" : INSTEAD[policy];
  }

  /** Whether the same policies decide in this process. */
  get isLocal(): boolean {
    return this.#policy === "local";
  }

  /**
   * The answer in spite of `error`; throws it, or what the fallback throws. `local` is undefined if the store itself is in
   * this process: what fails there is its memory, and nothing else can replace that.
   */
  async answer(
    prepared: PreparedRequest,
    error: Error,
    local: LocalDecisions | undefined,
  ): Promise<LimiterAnswer> {
    const { request, bound } = prepared;
    if (this.#policy === "throw") throw error;
    // What the store took is not the fallback's to give back: it is lost.
    if (this.fallback !== undefined && request.of !== undefined) {
      return degradedDecision(bound, "fail-closed");
    }
    if (this.fallback !== undefined) {
      // The call's own policies are options of this limiter's policies, not of the fallback's.
      const answer = await this.fallback.run({ ...request, policy: undefined });
      return { ...answer, source: "fallback" };
    }
    if (this.#policy === "local" && local !== undefined) return local.answer(prepared);
    return this.#degraded(request, bound);
  }

  /** The same if not even the policies are known: nothing can decide without them, so only "open" and "closed" answer. */
  withoutPolicies(request: LimiterRequest, error: Error): LimiterAnswer {
    if (!(error instanceof PolicyUnavailableError)) throw error;
    if (this.#policy === "open" || this.#policy === "closed") return this.#degraded(request, []);
    throw error;
  }

  /** The decision if nothing decides. */
  #undecided(bound: readonly BoundPolicy[]): Decision {
    return degradedDecision(bound, SOURCES[this.#policy as keyof typeof SOURCES]);
  }

  #degraded(request: LimiterRequest, bound: readonly BoundPolicy[]): LimiterAnswer {
    const decision = this.#undecided(bound);
    if (request.verb !== VERBS.consumeUpTo) return decision;
    return { ...decision, granted: decision.allowed ? Math.round(request.cost * UNIT) / UNIT : 0 };
  }

  /**
   * The answer to a consume that a store inside the process could not decide, at once; throws what is not the store's
   * failure, and throws if no fallback answers at once.
   */
  answerHere(
    asked: Asked,
    bound: readonly BoundPolicy[],
    error: unknown,
    limiter: ReportingLimiter,
  ): Decision {
    const request = { ...asked, verb: VERBS.consume };
    if (!(error instanceof StoreUnavailableError)) {
      throw undecided(limiter, request, error as Error, 0);
    }
    let decision: Decision | undefined;
    if (this.fallback !== undefined) decision = this.#consumeHere?.(asked);
    else if (this.#policy !== "throw") decision = this.#undecided(bound);
    const { key, cost } = asked;
    limiter.events.to.failure?.({ key, cost, error, ...(decision !== undefined && { decision }) });
    if (decision === undefined) throw undecided(limiter, request, error, 0);
    return this.fallback === undefined ? decision : { ...decision, source: "fallback" };
  }
}

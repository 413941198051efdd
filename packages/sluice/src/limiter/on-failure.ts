/** What callers get when the store has not answered: by the option `onStoreFailure`. */
import { UNIT } from "../core/amount.js";
import type { Instead } from "../events/events.js";
import { VERBS } from "../algorithms/decide.js";
import { degradedDecision } from "./decisions.js";
import type { OnStoreFailure } from "./options.js";
import type { BoundPolicy } from "./policy-resolver.js";
import type { LimiterAnswer, LimiterRequest, RequestRunner } from "./request.js";

const INSTEAD = { open: "failOpen", closed: "failClosed", throw: "thrown" } as const;

export class OnFailure {
  /** What a call gets, as outages count it. */
  readonly instead: Instead;
  /** Whether failures are thrown, those of a block after a denial too. */
  readonly throws: boolean;
  readonly #policy: OnStoreFailure;
  readonly #fallback: RequestRunner | undefined;

  /** `fallback` is the way of requests through the fallback limiter, where the policy names one. */
  constructor(policy: OnStoreFailure, fallback: RequestRunner | undefined) {
    this.#policy = policy;
    this.#fallback = fallback;
    this.instead = typeof policy === "object" ? "fallback" : INSTEAD[policy];
    this.throws = policy === "throw";
  }

  /** The answer in spite of `error`; throws it, or what the fallback throws. */
  async answer(
    request: LimiterRequest,
    bound: readonly BoundPolicy[],
    error: Error,
  ): Promise<LimiterAnswer> {
    if (this.#policy === "throw") throw error;
    if (this.#fallback !== undefined) {
      // The call's own policies are options of this limiter's policies, not of the fallback's.
      const answer = await this.#fallback.run({ ...request, policy: undefined });
      return { ...answer, source: "fallback" };
    }
    const allowed = this.#policy === "open";
    const decision = degradedDecision(bound, allowed);
    if (request.verb !== VERBS.consumeUpTo) return decision;
    return { ...decision, granted: allowed ? Math.round(request.cost * UNIT) / UNIT : 0 };
  }
}

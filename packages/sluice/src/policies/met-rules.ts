/** How adapters find out which rules a request meets, without the whole of a PolicySet. */
import type { Policy } from "../algorithms/registry.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import type { RulesRequest } from "./rules-request.js";

/** A rule that a request meets, as a charge of the limiter behind its set. */
export interface MetRule {
  readonly limiter: RateLimiter;
  readonly key: string;
  /** Units. */
  readonly cost: number;
  /** What decides: the limiter has no policies of its own. The first one is the rule's. */
  readonly policies: readonly Policy[];
  /** Whether it may refuse. */
  readonly enforce: boolean;
  /** Whether the cost is the request's, and may so turn out to be another. */
  readonly isCostOfRequest: boolean;
}

type Meet = (request: RulesRequest) => { readonly charges: readonly MetRule[] };

const sets = new WeakMap<object, Meet>();

/** Notes how a set finds the rules that a request meets. */
export function noteSet(set: object, meet: Meet): void {
  sets.set(set, meet);
}

/** How a PolicySet finds the rules that a request meets; undefined for anything else. */
export function meetOf(value: unknown): Meet | undefined {
  return typeof value === "object" && value !== null ? sets.get(value) : undefined;
}

/** No limit, as a policy: for the plans that have none. */
import { type Algorithm, type PolicyBase, PolicyReader, type VoteOption } from "../algorithm.js";
import { bucketKernel, type BucketParams } from "../bucket/kernel.js";
import { UNLIMITED } from "../kernel.js";

/** Options of `unlimited`. */
export interface UnlimitedOptions extends VoteOption {
  /**
   * Part of the key in the store: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "unlimited". Give plans
   * one name, and a block, and units in use, outlast a change of plan.
   */
  readonly name?: string | undefined;
}

/** What `unlimited` returns: every call is allowed, and counted. */
export interface UnlimitedPolicy extends PolicyBase {
  /** The algorithm's id. */
  readonly algorithm: "unlimited";
}

/** Nothing is ever in use: it saturates at 0. */
const PARAMS: BucketParams = Object.freeze({
  limit: 1,
  period: 1,
  per: 1,
  capacity: UNLIMITED,
  maximum: 0,
  interval: false,
  reservations: { strict: false, alone: false, maximum: UNLIMITED },
});

export const unlimitedAlgorithm: Algorithm<UnlimitedPolicy> = {
  id: "unlimited",
  parse(options, path) {
    const read = new PolicyReader("unlimited", options, path, []);
    return read.finished({ algorithm: "unlimited", name: read.name("unlimited") } as const);
  },
  compile: () => ({ kernel: bucketKernel, params: PARAMS, windowMs: 0 }),
};

/**
 * Admits everything and counts nothing: `limit` and `remaining` are Infinity. Only a block denies. To admit nothing,
 * give any other policy the limit 0.
 *
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket, unlimited } from "sluice";
 * const plans = {
 *   free: tokenBucket({ name: "plan", limit: 2, period: "1h" }),
 *   partner: unlimited({ name: "plan" }),
 * };
 * const limiter = new RateLimiter({ policy: (key) => plans[key.startsWith("partner:") ? "partner" : "free"] });
 * console.log((await limiter.consume("user:7", { cost: 3 })).allowed); // false
 * console.log((await limiter.consume("partner:7", { cost: 3 })).remaining); // Infinity
 */
export function unlimited(options: UnlimitedOptions = {}): UnlimitedPolicy {
  return unlimitedAlgorithm.parse(options, "");
}

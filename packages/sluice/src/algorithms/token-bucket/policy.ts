/** The token bucket as a policy. */
import type { Duration } from "../../core/duration.js";
import { checkChoice } from "../../core/options.js";
import { type Algorithm, type PolicyBase, PolicyReader, type VoteOption } from "../algorithm.js";
import { checkFillTime, compileBucket } from "../bucket/compile.js";

/** Options of `tokenBucket`. */
export interface TokenBucketOptions extends VoteOption {
  /** Units that come back each `period`: 0 to 1e9, in whole thousandths; 0 admits nothing. */
  readonly limit: number;
  /** 1 ms to 366 days. */
  readonly period: Duration;
  /** Units the bucket holds: 0.001 to 1e9, in whole thousandths; default `limit`, but at least 1. */
  readonly burst?: number | undefined;
  /** "continuous" (default): units drip back one thousandth at a time; "interval": `limit` at once, each period. */
  readonly refill?: "continuous" | "interval" | undefined;
  /** Part of the key in the store: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "token-bucket". */
  readonly name?: string | undefined;
}

/** What `tokenBucket` returns: a bucket of `burst` units, into which `limit` come a period. */
export interface TokenBucketPolicy extends PolicyBase {
  /** The algorithm's id. */
  readonly algorithm: "token-bucket";
  /** Units a period or window: 0 to 1e9 in whole thousandths. */
  readonly limit: number;
  /** Milliseconds. */
  readonly period: number;
  /** Units that the bucket holds. */
  readonly burst: number;
  /** Whether units come one by one, or all at the end of each period. */
  readonly refill: "continuous" | "interval";
}

export const tokenBucketAlgorithm: Algorithm<TokenBucketPolicy> = {
  id: "token-bucket",
  parse(options, path) {
    const read = new PolicyReader("token-bucket", options, path, [
      "limit",
      "period",
      "burst",
      "refill",
    ]);
    const limit = read.limit();
    const policy = {
      algorithm: "token-bucket",
      name: read.name("token-bucket"),
      limit,
      period: read.period("period"),
      burst: read.capacity("burst", limit, Math.max(limit, 1)),
      refill: read.other("refill", "continuous", (option, value) =>
        checkChoice(option, value, ["continuous", "interval"]),
      ),
    } as const;
    checkFillTime(`${path}burst`, policy.limit, policy.period, policy.burst);
    return read.finished(policy);
  },
  compile: ({ limit, period, burst, refill }) => compileBucket(limit, period, burst, refill),
};

/**
 * A bucket of `burst` units that fills with `limit` units a `period`: bursts up to `burst`, `limit` a
 * `period` in the long run. In any interval D at most burst + limit·D/period units are admitted
 * (with `refill: "interval"`, burst + limit·⌈D/period⌉).
 *
 * @throws InvalidOptionError
 * @see Turner, "New directions in communications", IEEE Communications 24(10), 1986.
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 100, period: "1m", burst: 20 }) });
 * const decision = await limiter.consume("user:42");
 * console.log(decision.allowed, decision.remaining); // true 19
 */
export function tokenBucket(options: TokenBucketOptions): TokenBucketPolicy {
  return tokenBucketAlgorithm.parse(options, "");
}

/** The leaky bucket as a policy. */
import type { Duration } from "../../core/duration.js";
import { type Algorithm, type PolicyBase, PolicyReader, type VoteOption } from "../algorithm.js";
import { checkFillTime, compileBucket } from "../bucket/compile.js";

/** Options of `leakyBucket`. */
export interface LeakyBucketOptions extends VoteOption {
  /** Units that leak out each `period`: 0 to 1e9, in whole thousandths; 0 admits nothing. */
  readonly limit: number;
  /** 1 ms to 366 days. */
  readonly period: Duration;
  /** Units the bucket holds, the one now leaking included: 0.001 to 1e9, in whole thousandths. */
  readonly capacity: number;
  /** Part of the key in the store: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "leaky-bucket". */
  readonly name?: string | undefined;
}

/** What `leakyBucket` returns: a bucket that leaks `limit` units a period. */
export interface LeakyBucketPolicy extends PolicyBase {
  /** The algorithm's id. */
  readonly algorithm: "leaky-bucket";
  /** Units a period or window: 0 to 1e9 in whole thousandths. */
  readonly limit: number;
  /** Milliseconds. */
  readonly period: number;
  /** Units that the bucket holds. */
  readonly capacity: number;
}

export const leakyBucketAlgorithm: Algorithm<LeakyBucketPolicy> = {
  id: "leaky-bucket",
  parse(options, path) {
    const read = new PolicyReader("leaky-bucket", options, path, ["limit", "period", "capacity"]);
    const limit = read.limit();
    const policy = {
      algorithm: "leaky-bucket",
      name: read.name("leaky-bucket"),
      limit,
      period: read.period("period"),
      capacity: read.capacity("capacity", limit),
    } as const;
    checkFillTime(`${path}capacity`, policy.limit, policy.period, policy.capacity);
    return read.finished(policy);
  },
  compile: ({ limit, period, capacity }) => compileBucket(limit, period, capacity, "queue"),
};

/**
 * A bucket of `capacity` units that leaks `limit` a `period`. `consume` uses it as a meter: what would
 * overflow is refused. In any interval D at most capacity + limit·D/period units are admitted.
 *
 * @throws InvalidOptionError
 * @see Turner, "New directions in communications", IEEE Communications 24(10), 1986.
 * @example
 * import { leakyBucket, RateLimiter } from "sluice";
 * const limiter = new RateLimiter({ policy: leakyBucket({ limit: 2, period: "1s", capacity: 5 }) });
 * const decision = await limiter.consume("printer", { cost: 5 });
 * console.log(decision.remaining, decision.resetAfterMs); // 0 2500
 */
export function leakyBucket(options: LeakyBucketOptions): LeakyBucketPolicy {
  return leakyBucketAlgorithm.parse(options, "");
}

/** The generic cell rate algorithm as a policy. */
import type { Duration } from "../../core/duration.js";
import { type Algorithm, type PolicyBase, PolicyReader, type VoteOption } from "../algorithm.js";
import { checkFillTime, compileBucket } from "../bucket/compile.js";

/** Options of `gcra`. */
export interface GcraOptions extends VoteOption {
  /** Units a `period`: 0 to 1e9, in whole thousandths; 0 admits nothing. */
  readonly limit: number;
  /** 1 ms to 366 days. */
  readonly period: Duration;
  /** Units that may come at once: 0.001 to 1e9, in whole thousandths; default 1, which spaces calls period/limit apart. */
  readonly burst?: number | undefined;
  /** Part of the key in the store: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "gcra". */
  readonly name?: string | undefined;
}

/** What `gcra` returns: even spacing of `limit` units a period. */
export interface GcraPolicy extends PolicyBase {
  /** The algorithm's id. */
  readonly algorithm: "gcra";
  /** Units a period or window: 0 to 1e9 in whole thousandths. */
  readonly limit: number;
  /** Milliseconds. */
  readonly period: number;
  /** Units that may come at once. */
  readonly burst: number;
}

export const gcraAlgorithm: Algorithm<GcraPolicy> = {
  id: "gcra",
  parse(options, path) {
    const read = new PolicyReader("gcra", options, path, ["limit", "period", "burst"]);
    const limit = read.limit();
    const policy = {
      algorithm: "gcra",
      name: read.name("gcra"),
      limit,
      period: read.period("period"),
      burst: read.capacity("burst", limit, limit > 0 ? 1 : 0),
    } as const;
    checkFillTime(`${path}burst`, policy.limit, policy.period, policy.burst);
    return read.finished(policy);
  },
  compile: ({ limit, period, burst }) => compileBucket(limit, period, burst),
};

/**
 * One call each period/limit, `burst` of them early: the token bucket seen as a schedule. It is the
 * same kernel with another default; docs and a property test show that they are the same thing.
 *
 * @throws InvalidOptionError
 * @see ITU-T I.371, "Traffic control and congestion control in B-ISDN", the virtual scheduling algorithm.
 * @example
 * import { gcra, RateLimiter } from "sluice";
 * const limiter = new RateLimiter({ policy: gcra({ limit: 10, period: "1s" }) });
 * await limiter.consume("door");
 * const second = await limiter.consume("door");
 * console.log(second.allowed, second.retryAfterMs); // false 100
 */
export function gcra(options: GcraOptions): GcraPolicy {
  return gcraAlgorithm.parse(options, "");
}

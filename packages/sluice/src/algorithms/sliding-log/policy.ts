/** The sliding log as a policy. */
import { UNIT } from "../../core/amount.js";
import type { Duration } from "../../core/duration.js";
import { type Algorithm, type PolicyBase, PolicyReader, type VoteOption } from "../algorithm.js";
import { MAX_HITS, slidingLogKernel } from "./kernel.js";

/** Options of `slidingLog`. */
export interface SlidingLogOptions extends VoteOption {
  /** Units in any window: 0 to 10,000, in whole thousandths; 0 admits nothing. */
  readonly limit: number;
  /** 1 ms to 366 days. */
  readonly window: Duration;
  /** Part of the key in the store: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "sliding-log". */
  readonly name?: string | undefined;
}

/** What `slidingLog` returns: at most `limit` units in any interval as long as the window, exactly. */
export interface SlidingLogPolicy extends PolicyBase {
  /** The algorithm's id. */
  readonly algorithm: "sliding-log";
  /** Units a period or window: 0 to 1e9 in whole thousandths. */
  readonly limit: number;
  /** Milliseconds. */
  readonly window: number;
}

export const slidingLogAlgorithm: Algorithm<SlidingLogPolicy> = {
  id: "sliding-log",
  parse(options, path) {
    const read = new PolicyReader("sliding-log", options, path, ["limit", "window"]);
    return read.finished({
      algorithm: "sliding-log",
      name: read.name("sliding-log"),
      limit: read.limit(MAX_HITS),
      window: read.period("window"),
    } as const);
  },
  compile({ limit, window }) {
    const params = { capacity: Math.round(limit * UNIT), window: Math.round(window * 1e3) };
    return { kernel: slidingLogKernel, params, windowMs: Math.ceil(window) };
  },
};

/**
 * Exactly `limit` units in any interval of length `window`: every admitted hit is remembered until it
 * leaves. Memory grows with the hits in a window, 10,000 at most; beyond that (fractions of a unit can
 * get there) a call throws InvalidOptionError.
 *
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, slidingLog } from "sluice";
 * const limiter = new RateLimiter({ policy: slidingLog({ limit: 5, window: "15m" }) });
 * const decision = await limiter.consume("login:alice");
 * console.log(decision.remaining); // 4
 */
export function slidingLog(options: SlidingLogOptions): SlidingLogPolicy {
  return slidingLogAlgorithm.parse(options, "");
}

/** The sliding window as a policy. */
import { UNIT } from "../../core/amount.js";
import type { Duration } from "../../core/duration.js";
import { type Algorithm, type PolicyBase, PolicyReader, type VoteOption } from "../algorithm.js";
import { slidingWindowKernel } from "./kernel.js";

/** Options of `slidingWindow`. */
export interface SlidingWindowOptions extends VoteOption {
  /** Units a window: 0 to 1e9, in whole thousandths; 0 admits nothing. */
  readonly limit: number;
  /** 1 ms to 366 days. */
  readonly window: Duration;
  /** Part of the key in the store: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "sliding-window". */
  readonly name?: string | undefined;
}

/** What `slidingWindow` returns: at most `limit` units a window, by an estimate from two counters. */
export interface SlidingWindowPolicy extends PolicyBase {
  /** The algorithm's id. */
  readonly algorithm: "sliding-window";
  /** Units a period or window: 0 to 1e9 in whole thousandths. */
  readonly limit: number;
  /** Milliseconds. */
  readonly window: number;
}

export const slidingWindowAlgorithm: Algorithm<SlidingWindowPolicy> = {
  id: "sliding-window",
  parse(options, path) {
    const read = new PolicyReader("sliding-window", options, path, ["limit", "window"]);
    return read.finished({
      algorithm: "sliding-window",
      name: read.name("sliding-window"),
      limit: read.limit(),
      window: read.period("window"),
    } as const);
  },
  compile({ limit, window }) {
    const params = { capacity: Math.round(limit * UNIT), window: Math.round(window * 1e3) };
    return { kernel: slidingWindowKernel, params, windowMs: Math.ceil(window) };
  },
};

/**
 * An estimate of the last `window` from two counters: the running window's count plus the previous one's, weighted by the
 * part of it that still overlaps. Constant memory; in the worst case an interval of one window's length sees less than
 * twice the limit. A small limit admits less than it says: of calls that come evenly, as often as the limit allows, one in
 * `limit` is refused, and with limit 1 every second one. If that matters, use slidingLog.
 *
 * @throws InvalidOptionError
 * @see Cloudflare, "How we built rate limiting capable of scaling to millions of domains", 2017.
 * @example
 * import { RateLimiter, slidingWindow } from "sluice";
 * const limiter = new RateLimiter({ policy: slidingWindow({ limit: 100, window: "1m" }) });
 * const decision = await limiter.consume("203.0.113.7");
 * console.log(decision.remaining); // 99
 */
export function slidingWindow(options: SlidingWindowOptions): SlidingWindowPolicy {
  return slidingWindowAlgorithm.parse(options, "");
}

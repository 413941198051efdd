/** The fixed window as a policy. */
import { UNIT } from "../../core/amount.js";
import type { Duration } from "../../core/duration.js";
import { checkChoice } from "../../core/options.js";
import { type Algorithm, type PolicyBase, PolicyReader, type VoteOption } from "../algorithm.js";
import { fixedWindowKernel } from "./kernel.js";

/** Options of `fixedWindow`. */
export interface FixedWindowOptions extends VoteOption {
  /** Units a window: 0 to 1e9, in whole thousandths; 0 admits nothing. */
  readonly limit: number;
  /** 1 ms to 366 days. */
  readonly window: Duration;
  /** "clock" (default): windows are multiples of their length since the epoch; "first": opened by the first admitted hit. */
  readonly align?: "clock" | "first" | undefined;
  /** Part of the key in the store: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "fixed-window". */
  readonly name?: string | undefined;
}

/** What `fixedWindow` returns: at most `limit` units a window. */
export interface FixedWindowPolicy extends PolicyBase {
  /** The algorithm's id. */
  readonly algorithm: "fixed-window";
  /** Units a period or window: 0 to 1e9 in whole thousandths. */
  readonly limit: number;
  /** Milliseconds. */
  readonly window: number;
  /** Where windows begin: at multiples of their length since the epoch, or at a key's first call. */
  readonly align: "clock" | "first";
}

export const fixedWindowAlgorithm: Algorithm<FixedWindowPolicy> = {
  id: "fixed-window",
  parse(options, path) {
    const read = new PolicyReader("fixed-window", options, path, ["limit", "window", "align"]);
    return read.finished({
      algorithm: "fixed-window",
      name: read.name("fixed-window"),
      limit: read.limit(),
      window: read.period("window"),
      align: read.other("align", "clock", (option, value) =>
        checkChoice(option, value, ["clock", "first"]),
      ),
    } as const);
  },
  compile({ limit, window, align }) {
    const params = {
      capacity: Math.round(limit * UNIT),
      window: Math.round(window * 1e3),
      first: align === "first",
    };
    const byWallClock = align === "clock";
    return { kernel: fixedWindowKernel, params, windowMs: Math.ceil(window), byWallClock };
  },
};

/**
 * At most `limit` units in each window. Two windows meet, so that an interval of one window's length
 * that lies across the border may see up to twice the limit; slidingLog and the buckets do not allow that.
 *
 * @throws InvalidOptionError
 * @see The INCR pattern of the Redis documentation, made atomic and exact.
 * @example
 * import { fixedWindow, RateLimiter } from "sluice";
 * const limiter = new RateLimiter({ policy: fixedWindow({ limit: 3, window: "1s", align: "first" }) });
 * const decision = await limiter.consume("worker", { cost: 3 });
 * console.log(decision.remaining, decision.resetAfterMs); // 0 1000
 */
export function fixedWindow(options: FixedWindowOptions): FixedWindowPolicy {
  return fixedWindowAlgorithm.parse(options, "");
}

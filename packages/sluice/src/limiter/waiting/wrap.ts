/** Functions whose calls wait for quota. */
import { toThousandths } from "../../core/amount.js";
import {
  unchecked,
  checkFunction,
  optional,
  optionReader,
  orFunction,
} from "../../core/options.js";
import { type WaitedCalls, wrapCalls } from "../../core/wrapped.js";
import type { WaitOptions } from "./reserve.js";

/** What waits for quota: a `RateLimiter`, or anything with its `acquire`. */
export interface Acquirer {
  /**
   * Resolves when `cost` units of `key` are the caller's; rejects if the wait would pass `maxWait`. If what it resolves
   * with has a `release`, that is called when the call ends.
   */
  acquire(key: string, options?: WaitOptions): Promise<unknown>;
}

/** Options of `wrap`. */
export interface WrapOptions<A extends unknown[]> extends WaitedCalls<A> {
  /** Units a call takes, or how to tell them from its arguments; default 1. */
  readonly cost?: number | ((...args: A) => number) | undefined;
}

export const WRAP_OPTIONS = optionReader<WrapOptions<never>>()({
  ...unchecked("key", "slot", "maxWait", "signal"),
  cost: optional(orFunction(toThousandths)),
});

/** `fn` with each call waiting for quota of `limiter` before it starts. */
export function wrapWith<This, A extends unknown[], R>(
  limiter: Acquirer,
  fn: (this: This, ...args: A) => R,
  options: WrapOptions<A>,
): (this: This, ...args: A) => Promise<Awaited<R>> {
  checkFunction("fn", fn);
  WRAP_OPTIONS.read(options);
  const { cost } = options;
  return wrapCalls(fn, options, (key, wait, args) => {
    const units = typeof cost === "function" ? cost(...args) : cost;
    return limiter.acquire(key, { ...(units !== undefined && { cost: units }), ...wait });
  });
}

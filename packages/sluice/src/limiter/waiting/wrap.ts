/** Functions whose calls wait for quota. */
import { checkSignal } from "../../core/abort.js";
import { toThousandths } from "../../core/amount.js";
import type { Duration } from "../../core/duration.js";
import { checkFunction, checkOptions } from "../../core/options.js";
import { checkKey } from "../../core/key.js";
import type { WaitOptions } from "./reserve.js";
import { maxWaitMs } from "../../core/max-wait.js";

/** What waits for quota: a `RateLimiter`, or anything with its `acquire`. */
export interface Acquirer {
  /** Resolves when `cost` units of `key` are the caller's; rejects where the wait would pass `maxWait`. */
  acquire(key: string, options?: WaitOptions): Promise<unknown>;
}

export interface WrapOptions<A extends unknown[]> {
  /** The key of every call, or how to tell it from a call's arguments. */
  readonly key: string | ((...args: A) => string);
  /** Units a call takes, or how to tell them from its arguments; default 1. */
  readonly cost?: number | ((...args: A) => number) | undefined;
  /** How long a call may wait; default: as long as it takes. */
  readonly maxWait?: Duration | undefined;
  /**
   * Ends the wait of every call, or, as a function of the arguments, that of one: the call rejects with its reason.
   * A call that has started is not affected.
   */
  readonly signal?: AbortSignal | ((...args: A) => AbortSignal | undefined) | undefined;
}

export const WRAP_OPTIONS: readonly string[] = ["key", "cost", "maxWait", "signal"];

/**
 * `fn` with each call waiting for quota of `limiter` before it starts. `this` is passed on. What
 * `acquire` throws is the call's own rejection, and `fn` is then not called.
 */
export function wrapWith<This, A extends unknown[], R>(
  limiter: Acquirer,
  fn: (this: This, ...args: A) => R,
  options: WrapOptions<A>,
): (this: This, ...args: A) => Promise<Awaited<R>> {
  checkFunction("fn", fn);
  checkOptions("options", options, WRAP_OPTIONS);
  const { key, cost, maxWait, signal } = options;
  if (typeof key !== "function") checkKey(key);
  if (typeof cost === "number") toThousandths("cost", cost);
  else if (cost !== undefined) checkFunction("cost", cost);
  maxWaitMs(maxWait);
  if (typeof signal !== "function") checkSignal("signal", signal);
  return async function limited(this: This, ...args: A): Promise<Awaited<R>> {
    const units = typeof cost === "function" ? cost(...args) : cost;
    const end = typeof signal === "function" ? signal(...args) : signal;
    await limiter.acquire(typeof key === "function" ? key(...args) : key, {
      ...(units !== undefined && { cost: units }),
      ...(maxWait !== undefined && { maxWait }),
      // Checked here too: not everything with an acquire looks at it.
      ...(end !== undefined && { signal: checkSignal("signal", end) }),
    });
    return await fn.apply(this, args);
  };
}

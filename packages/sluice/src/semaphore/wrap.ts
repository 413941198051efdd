/** Functions whose calls hold a permit of a semaphore while they run. */
import {
  unchecked,
  checkFunction,
  aCount,
  optional,
  optionReader,
  orFunction,
} from "../core/options.js";
import { type WaitedCalls, wrapCalls } from "../core/wrapped.js";
import { type AcquireOptions, MAX_SEMAPHORE_LIMIT } from "./options.js";

/** Options of `wrap`. */
export interface SemaphoreWrapOptions<A extends unknown[]> extends WaitedCalls<A> {
  /** How much of the limit a call takes, or how to tell it from its arguments; default 1. */
  readonly weight?: number | ((...args: A) => number) | undefined;
}

const OPTIONS = optionReader<SemaphoreWrapOptions<never>>()({
  ...unchecked("key", "slot", "maxWait", "signal"),
  weight: optional(orFunction(aCount(1, MAX_SEMAPHORE_LIMIT))),
});

/** `fn` with each call holding a permit from before it starts until it ends. */
export function wrapHolding<This, A extends unknown[], R>(
  acquire: (key: string, options: AcquireOptions) => Promise<unknown>,
  fn: (this: This, ...args: A) => R,
  options: SemaphoreWrapOptions<A>,
): (this: This, ...args: A) => Promise<Awaited<R>> {
  checkFunction("fn", fn);
  OPTIONS.read(options);
  const { weight } = options;
  return wrapCalls(fn, options, (key, wait, args) => {
    const taken = typeof weight === "function" ? weight(...args) : weight;
    return acquire(key, { ...(taken !== undefined && { weight: taken }), ...wait });
  });
}

/** A function that waits its turn. */
import type { Duration } from "../core/duration.js";
import { checkFunction, checkOptions } from "../core/options.js";
import type { WaitOptions } from "./reservation.js";

export interface WrapOptions<A extends unknown[] = unknown[]> {
  /** The key, or what makes it of a call's arguments. */
  readonly key: string | ((...args: A) => string);
  /** Units a call; default 1. */
  readonly cost?: number;
  /** The longest wait of a call; default Infinity. */
  readonly maxWait?: Duration;
}

type Acquire = (key: string, options: WaitOptions) => Promise<unknown>;

/** `fn` behind `acquire`: each call waits, then runs with its own `this` and arguments. */
export function wrapWith<A extends unknown[], R>(
  acquire: Acquire,
  fn: (...args: A) => R,
  options: WrapOptions<A>,
): (...args: A) => Promise<Awaited<R>> {
  checkFunction("fn", fn);
  checkOptions("options", options, ["key", "cost", "maxWait"]);
  const { key, ...wait } = options;
  return async function (this: unknown, ...args: A): Promise<Awaited<R>> {
    await acquire(typeof key === "function" ? key(...args) : key, wait);
    return await fn.apply(this, args);
  };
}

/** Functions whose calls wait for something before they start, and give back what they hold when they end. */
import { checkSignal } from "./abort.js";
import type { Duration } from "./duration.js";
import { checkKey, checkSlot } from "./key.js";
import { maxWaitMs } from "./max-wait.js";
import { checkFunction } from "./options.js";

/** What every wrapped function waits by. */
export interface WaitedCalls<A extends unknown[]> {
  /** The key of every call, or how to tell it from a call's arguments. */
  readonly key: string | ((...args: A) => string);
  /** The slot of every call's key, or how to tell it from a call's arguments; default: none. */
  readonly slot?: string | ((...args: A) => string | undefined) | undefined;
  /** How long a call may wait; default: as long as it takes. */
  readonly maxWait?: Duration | undefined;
  /**
   * Ends the wait of every call, or, as a function of the arguments, that of one: the call rejects with its reason.
   * A call that has started is not affected.
   */
  readonly signal?: AbortSignal | ((...args: A) => AbortSignal | undefined) | undefined;
}

/** One wait, without what is left out. */
export interface OneWait {
  readonly slot?: string;
  readonly maxWait?: Duration;
  readonly signal?: AbortSignal;
}

/**
 * `fn` with each call behind `acquire`. `this` is passed on. What `acquire` throws is the call's own rejection, and `fn`
 * is then not called. If what it resolves with can be released, it is, however the call ends.
 *
 * @throws InvalidOptionError
 */
export function wrapCalls<This, A extends unknown[], R>(
  fn: (this: This, ...args: A) => R,
  { key, slot, maxWait, signal }: WaitedCalls<A>,
  acquire: (key: string, wait: OneWait, args: A) => Promise<unknown>,
): (this: This, ...args: A) => Promise<Awaited<R>> {
  checkFunction("fn", fn);
  if (typeof key !== "function") checkKey(key);
  if (typeof slot !== "function") checkSlot(slot);
  maxWaitMs(maxWait);
  if (typeof signal !== "function") checkSignal("signal", signal);
  return async function limited(this: This, ...args: A): Promise<Awaited<R>> {
    const place = typeof slot === "function" ? slot(...args) : slot;
    const end = typeof signal === "function" ? signal(...args) : signal;
    const wait = {
      ...(place !== undefined && { slot: place }),
      ...(maxWait !== undefined && { maxWait }),
      // Checked here too: not everything with an acquire looks at it.
      ...(end !== undefined && { signal: checkSignal("signal", end) as AbortSignal }),
    };
    const held = await acquire(typeof key === "function" ? key(...args) : key, wait, args);
    try {
      return await fn.apply(this, args);
    } finally {
      await release(held);
    }
  };
}

async function release(held: unknown): Promise<void> {
  const { release: end } = (held ?? {}) as { release?: unknown };
  if (typeof end === "function") await (end as () => unknown).call(held);
}

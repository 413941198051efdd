/** A decorator for methods whose calls wait for quota (TC39 decorators, as TypeScript 5 and later have them). */
import { InvalidOptionError } from "../../core/errors.js";
import { unchecked, optionReader } from "../../core/options.js";
import { InWords, withoutText } from "../../core/shown.js";
import { type Acquirer, WRAP_OPTIONS, type WrapOptions, wrapWith } from "./wrap.js";

/** Options of `@limited`. */
export interface LimitedOptions<A extends unknown[]> extends WrapOptions<A> {
  /** A `RateLimiter`, or anything with its `acquire`; or a `Semaphore`, whose permit a call holds until it ends. */
  readonly limiter: Acquirer | PermitGiver;
  /** Of a semaphore, instead of `cost`: how much of its limit a call takes; default 1. */
  readonly weight?: number | ((...args: A) => number) | undefined;
}

/** A `Semaphore`, as far as a decorator needs it. */
export interface PermitGiver {
  /** As `Semaphore`'s own. */
  withPermit(key: string, fn: () => unknown): Promise<unknown>;
  /** As `Semaphore`'s own. */
  wrap<This, A extends unknown[], R>(
    fn: (this: This, ...args: A) => R,
    options: Omit<LimitedOptions<A>, "limiter" | "cost">,
  ): (this: This, ...args: A) => Promise<Awaited<R>>;
}

const OPTIONS = optionReader<LimitedOptions<never>>()({
  ...unchecked("limiter", "weight"),
  ...WRAP_OPTIONS.checks,
});

function givesPermits(limiter: Acquirer | PermitGiver): limiter is PermitGiver {
  return typeof (limiter as Partial<PermitGiver>).withPermit === "function";
}

/**
 * Makes each call of an asynchronous method wait for quota before it starts. One limiter serves all instances; a `key` made
 * from the arguments distinguishes them. Rejects as `acquire` does.
 *
 * @throws InvalidOptionError if it decorates anything but a method
 * @example
 * import { limited } from "sluice";
 * // Stands for a RateLimiter.
 * const limiter = { acquire: async (key: string) => console.log(`waited for ${key}`) };
 *
 * class Client {
 *   @limited({ limiter, key: (host: string) => host, maxWait: "5s" })
 *   async get(host: string, path: string): Promise<string> {
 *     return `https://${host}${path}`;
 *   }
 * }
 * console.log(await new Client().get("example.org", "/a")); // https://example.org/a
 */
export function limited<A extends unknown[] = unknown[]>(
  options: LimitedOptions<A>,
): LimitedDecorator<A> {
  OPTIONS.known(options);
  const { limiter, ...wrapping } = options;
  if (typeof (limiter as Partial<Acquirer> | undefined)?.acquire !== "function") {
    throw new InvalidOptionError("limiter", withoutText(limiter), "a RateLimiter or a Semaphore");
  }
  return (method, context) => {
    if ((context as { kind?: unknown } | undefined)?.kind !== "method") {
      throw new InvalidOptionError(
        "@limited",
        new InWords("another use"),
        "a method of a class, with standard decorators",
      );
    }
    // As arguments of each of them: what is no option of the one is one of the other.
    const own = wrapping as WrapOptions<unknown[]>;
    return givesPermits(limiter) ? limiter.wrap(method, own) : wrapWith(limiter, method, own);
  };
}

/** Decorates methods that take at least the arguments that `key` and `cost` look at. */
export type LimitedDecorator<A extends unknown[]> = <This, B extends [...A, ...unknown[]], R>(
  method: (this: This, ...args: B) => Promise<R>,
  context: ClassMethodDecoratorContext<This, (this: This, ...args: B) => Promise<R>>,
) => (this: This, ...args: B) => Promise<R>;

/** A decorator for methods whose calls wait for quota (TC39 decorators, as TypeScript 5 and later have them). */
import { InvalidOptionError } from "../../core/errors.js";
import { checkOptions } from "../../core/options.js";
import { InWords, withoutText } from "../../core/shown.js";
import { type Acquirer, WRAP_OPTIONS, type WrapOptions, wrapWith } from "./wrap.js";

export interface LimitedOptions<A extends unknown[]> extends WrapOptions<A> {
  /** A `RateLimiter`, or anything with its `acquire`. */
  readonly limiter: Acquirer;
}

/**
 * Makes each call of an asynchronous method wait for quota before it starts. One limiter serves all
 * instances; a `key` made from the arguments tells them apart. Rejects as `acquire` does.
 *
 * @throws InvalidOptionError where it decorates anything but a method
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
  checkOptions("options", options, ["limiter", ...WRAP_OPTIONS]);
  const { limiter, ...wrapping } = options;
  if (typeof (limiter as Partial<Acquirer> | undefined)?.acquire !== "function") {
    throw new InvalidOptionError("limiter", withoutText(limiter), "a RateLimiter");
  }
  return (method, context) => {
    if ((context as { kind?: unknown } | undefined)?.kind !== "method") {
      throw new InvalidOptionError(
        "@limited",
        new InWords("another use"),
        "a method of a class, with standard decorators",
      );
    }
    return wrapWith(limiter, method, wrapping as WrapOptions<unknown[]>);
  };
}

/** Decorates methods that take at least the arguments that `key` and `cost` look at. */
export type LimitedDecorator<A extends unknown[]> = <This, B extends [...A, ...unknown[]], R>(
  method: (this: This, ...args: B) => Promise<R>,
  context: ClassMethodDecoratorContext<This, (this: This, ...args: B) => Promise<R>>,
) => (this: This, ...args: B) => Promise<R>;

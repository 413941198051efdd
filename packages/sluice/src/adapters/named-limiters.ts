/** Limiters that are referred to by name, because the limiter itself is not available there: in decorators, and in schemas. */
import { InvalidOptionError } from "../core/errors.js";
import { optionReader, unchecked } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import { checkChargeable } from "../http/chargeable.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import type { Semaphore } from "../semaphore/semaphore.js";

/** Limiters and semaphores by the names that a schema, or a decorator, calls them. */
export type NamedLimiters = Readonly<Record<string, RateLimiter | Semaphore>>;

/** @throws InvalidOptionError */
export function checkLimiters(
  limiters: NamedLimiters = {},
): ReadonlyMap<string, RateLimiter | Semaphore> {
  for (const [name, limiter] of Object.entries(checkNamed("limiters", limiters))) {
    const option = `limiters.${name}`;
    if (checkChargeable(option, limiter).kind !== "rules") continue;
    const allowed = "a RateLimiter or a Semaphore: rules are found by the request, not by a name";
    throw new InvalidOptionError(option, withoutText(limiter), allowed);
  }
  return new Map(Object.entries(limiters));
}

/** An object whose names are the user's own. */
export function checkNamed(option: string, named: unknown): Readonly<Record<string, unknown>> {
  const names = typeof named === "object" && named !== null ? Object.keys(named) : [];
  return optionReader<Record<string, unknown>>()(unchecked(...names)).known(named, option);
}

/** @throws InvalidOptionError */
export function limiterNamed(
  limiters: ReadonlyMap<string, RateLimiter | Semaphore>,
  name: string,
): RateLimiter | Semaphore {
  const limiter = limiters.get(name);
  if (limiter !== undefined) return limiter;
  const names = [...limiters.keys()].map((known) => JSON.stringify(known)).join(" or ");
  throw new InvalidOptionError(
    "limiter",
    name,
    names === "" ? "a name in the option limiters, which has none" : names,
  );
}

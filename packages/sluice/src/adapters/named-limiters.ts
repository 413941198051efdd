/** Limiters that are spoken of by name, where the limiter itself cannot stand: in decorators, and in schemas. */
import { InvalidOptionError } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import { chargeableOf } from "../http/chargeable.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import type { Semaphore } from "../semaphore/semaphore.js";

export type NamedLimiters = Readonly<Record<string, RateLimiter | Semaphore>>;

/** @throws InvalidOptionError */
export function checkLimiters(
  limiters: NamedLimiters,
): ReadonlyMap<string, RateLimiter | Semaphore> {
  const names = typeof limiters === "object" && limiters !== null ? Object.keys(limiters) : [];
  const checked = checkOptions("limiters", limiters, names);
  for (const [name, limiter] of Object.entries(checked)) {
    if (chargeableOf(limiter) !== undefined) continue;
    const allowed = "a RateLimiter or a Semaphore";
    throw new InvalidOptionError(`limiters.${name}`, withoutText(limiter), allowed);
  }
  return new Map(Object.entries(limiters));
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

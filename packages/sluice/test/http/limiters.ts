/** Limiters of a test, and whatever else is to be ended when it is over. */
import { afterEach } from "vitest";
import { fixedWindow, RateLimiter } from "../../src/index.js";
import { OutsideStore } from "../support/outside-store.js";

/** Called after each test, the last one first. */
export const ends: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

export function limiterOf(limit: number, name = "all"): RateLimiter {
  const limiter = new RateLimiter({ policy: fixedWindow({ name, limit, window: "1h" }) });
  ends.push(() => limiter.close());
  return limiter;
}

/** The same, of a store that answers later. */
export function distantLimiterOf(limit: number): RateLimiter {
  const policy = fixedWindow({ name: "all", limit, window: "1h" });
  const limiter = new RateLimiter({ policy, store: new OutsideStore() });
  ends.push(() => limiter.close());
  return limiter;
}

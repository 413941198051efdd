/** The package limiter in memory, with a Map of keys. */
import { RateLimiter } from "limiter";
import { DENIED, LIMIT, PERIOD_MS } from "../../workload.mjs";

export const algorithm = "token bucket";
export const sync = true;

/** The package limits one thing at a time: keys are the user's own Map. */
export function open() {
  /** @type {Map<string, RateLimiter>} */
  const limiters = new Map();
  return {
    call: (/** @type {string} */ key) => {
      let limiter = limiters.get(key);
      if (limiter === undefined) {
        limiter = new RateLimiter({ tokensPerInterval: LIMIT, interval: PERIOD_MS });
        limiters.set(key, limiter);
      }
      return limiter.tryRemoveTokens(1);
    },
    remaining: (/** @type {boolean} */ allowed) => (allowed ? undefined : DENIED),
    close: () => {},
  };
}

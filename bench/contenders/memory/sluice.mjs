/** Sluice in memory, called with a promise as on Redis. */
import { memoryLimiter, remaining } from "../../sluice.mjs";

export const algorithm = "token bucket";

export function open() {
  const limiter = memoryLimiter();
  return {
    call: (/** @type {string} */ key) => limiter.consume(key),
    remaining,
    close: () => limiter.close(),
  };
}

/** Sluice in memory, called without a promise. */
import { memoryLimiter, remaining } from "../../sluice.mjs";

export const algorithm = "token bucket";
export const sync = true;

export function open() {
  const limiter = memoryLimiter();
  return {
    call: (/** @type {string} */ key) => limiter.consumeSync(key),
    remaining,
    close: () => limiter.close(),
  };
}

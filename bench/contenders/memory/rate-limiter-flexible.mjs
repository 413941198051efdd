/** rate-limiter-flexible in memory. */
import { RateLimiterMemory } from "rate-limiter-flexible";
import { LIMIT, PERIOD_MS } from "../../workload.mjs";

export const algorithm = "fixed window";

export function open() {
  const limiter = new RateLimiterMemory({ points: LIMIT, duration: PERIOD_MS / 1e3 });
  return {
    // Denials reject, which fails the run.
    call: (/** @type {string} */ key) => limiter.consume(key),
    remaining: (/** @type {import("rate-limiter-flexible").RateLimiterRes} */ reply) =>
      reply.remainingPoints,
    close: () => {},
  };
}

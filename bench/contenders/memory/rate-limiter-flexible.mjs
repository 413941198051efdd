/** rate-limiter-flexible in memory. */
import { RateLimiterMemory } from "rate-limiter-flexible";
import { USUAL } from "../../workload.mjs";

export const algorithm = "fixed window";

/** @param {import("../../workload.mjs").Quota} [quota] */
export function open({ limit, periodMs } = USUAL) {
  const limiter = new RateLimiterMemory({ points: limit, duration: periodMs / 1e3 });
  return {
    // Denials reject, which fails the run.
    call: (/** @type {string} */ key) => limiter.consume(key),
    remaining: (/** @type {import("rate-limiter-flexible").RateLimiterRes} */ reply) =>
      reply.remainingPoints,
    close: () => {},
  };
}

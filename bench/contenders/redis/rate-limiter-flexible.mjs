/** rate-limiter-flexible on Redis, with one policy or the union of several. */
import { RateLimiterRedis, RateLimiterUnion } from "rate-limiter-flexible";

/** @typedef {import("rate-limiter-flexible").RateLimiterRes} Result */

export const algorithm = "fixed window";

/**
 * @param {import("../../clients.mjs").Client} client
 * @param {import("../../workload.mjs").Quota} quota
 */
export function open({ kind, raw }, { limit, periodMs, policies }) {
  const limiters = Array.from(
    { length: policies },
    (_, i) =>
      new RateLimiterRedis({
        storeClient: raw,
        useRedisPackage: kind === "redis",
        keyPrefix: `rlflx${i}`,
        points: limit,
        duration: periodMs / 1e3,
      }),
  );
  const [only] = limiters;
  // Denials reject, which fails the run.
  if (policies === 1 && only !== undefined) {
    return {
      call: (/** @type {string} */ key) => only.consume(key),
      remaining: (/** @type {Result} */ reply) => reply.remainingPoints,
      close: () => {},
    };
  }
  const union = new RateLimiterUnion(...limiters);
  return {
    call: (/** @type {string} */ key) => union.consume(key),
    remaining: (/** @type {Record<string, Result>} */ replies) =>
      Math.min(...Object.values(replies).map(({ remainingPoints }) => remainingPoints)),
    close: () => {},
  };
}

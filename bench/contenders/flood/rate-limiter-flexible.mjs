/** rate-limiter-flexible on Redis while nearly every call is denied, asking Redis each time. */
import { RateLimiterRedis, RateLimiterRes } from "rate-limiter-flexible";
import { DENIED } from "../../workload.mjs";

export const algorithm = "fixed window";

/** A denial is a rejection; anything else that rejects fails the run. */
function denied(/** @type {unknown} */ reason) {
  if (reason instanceof RateLimiterRes) return undefined;
  throw reason;
}

/**
 * @param {import("../../clients.mjs").Client} client
 * @param {import("../../workload.mjs").Quota} quota
 * @param {{ inMemoryBlockOnConsumed?: number }} [options]
 */
export function open({ kind, raw }, { limit, periodMs }, options = {}) {
  const limiter = new RateLimiterRedis({
    storeClient: raw,
    useRedisPackage: kind === "redis",
    points: limit,
    duration: periodMs / 1e3,
    ...options,
  });
  return {
    call: (/** @type {string} */ key) => limiter.consume(key).catch(denied),
    remaining: (/** @type {RateLimiterRes | undefined} */ reply) =>
      reply?.remainingPoints ?? DENIED,
    close: () => {},
  };
}

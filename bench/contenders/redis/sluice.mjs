/** Sluice on Redis, which decides each call there. */
import { redisLimiter, remaining } from "../../sluice.mjs";

export const algorithm = "token bucket";

/**
 * @param {import("../../clients.mjs").Client} client
 * @param {import("../../workload.mjs").Quota} quota
 */
export function open(client, quota) {
  const limiter = redisLimiter(client, quota);
  return {
    call: (/** @type {string} */ key) => limiter.consume(key),
    remaining,
    close: () => limiter.close(),
  };
}

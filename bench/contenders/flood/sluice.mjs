/** Sluice on Redis while nearly every call is denied: its deny cache answers. */
import { redisLimiter } from "../../sluice.mjs";
import { DENIED } from "../../workload.mjs";

export const algorithm = "token bucket";

/**
 * @param {import("../../clients.mjs").Client} client
 * @param {import("../../workload.mjs").Quota} quota
 */
export function open(client, quota) {
  const limiter = redisLimiter(client, quota);
  return {
    call: (/** @type {string} */ key) => limiter.consume(key),
    remaining: (/** @type {import("../../sluice.mjs").Decision} */ { allowed, remaining }) =>
      allowed ? remaining : DENIED,
    close: () => limiter.close(),
  };
}

/** rate-limiter-flexible on Redis while nearly every call is denied, blocking in memory. */
import { open as openPlain } from "./rate-limiter-flexible.mjs";

export const algorithm = "fixed window";

/**
 * Keeps keys that are used up in memory until their window ends.
 * @param {import("../../clients.mjs").Client} client
 * @param {import("../../workload.mjs").Quota} quota
 */
export function open(client, quota) {
  return openPlain(client, quota, { inMemoryBlockOnConsumed: quota.limit });
}

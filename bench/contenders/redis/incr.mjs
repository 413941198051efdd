/** One INCR a call: the least that a counter in Redis can cost. */
export const algorithm = "none";

/**
 * @param {import("../../clients.mjs").Client} client
 * @param {import("../../workload.mjs").Quota} quota
 */
export function open({ raw }, { limit }) {
  return {
    call: (/** @type {string} */ key) => raw.incr(key),
    remaining: (/** @type {number} */ count) => limit - count,
    close: () => {},
  };
}

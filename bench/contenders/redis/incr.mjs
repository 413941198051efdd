import { LIMIT } from "../../workload.mjs";

export const algorithm = "none";

export function open(/** @type {import("../../clients.mjs").Client} */ { raw }) {
  return {
    call: (/** @type {string} */ key) => raw.incr(key),
    remaining: (/** @type {number} */ count) => LIMIT - count,
    close: () => {},
  };
}

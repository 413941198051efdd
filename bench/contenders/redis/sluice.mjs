import { redisLimiter, remaining } from "../../sluice.mjs";

export const algorithm = "token bucket";

export function open(/** @type {import("../../clients.mjs").Client} */ client) {
  const limiter = redisLimiter(client);
  return {
    call: (/** @type {string} */ key) => limiter.consume(key),
    remaining,
    close: () => limiter.close(),
  };
}

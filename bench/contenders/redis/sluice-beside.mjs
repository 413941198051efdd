/** Sluice on Redis, with one more call on a hot key beside every fourth: what is timed and checked are the others. */
import { BESIDE_EVERY } from "../index.mjs";
import { redisLimiter, remaining, variants } from "../../sluice.mjs";

const HOT = "hot";

/** @typedef {import("../../clients.mjs").Client} Client */
/** @typedef {import("../../workload.mjs").Quota} Quota */
/** @typedef {import("../../sluice.mjs").RateLimiter} RateLimiter */

/**
 * @param {Client} client
 * @param {Quota} quota
 * @param {(limiter: RateLimiter, turn: number) => Promise<unknown>} hotCall
 */
function open(client, quota, hotCall) {
  const limiter = redisLimiter(client, quota);
  let calls = 0;
  return {
    call: async (/** @type {string} */ key) => {
      calls += 1;
      if (calls % BESIDE_EVERY > 0) return limiter.consume(key);
      const [decision] = await Promise.all([
        limiter.consume(key),
        hotCall(limiter, calls / BESIDE_EVERY),
      ]);
      return decision;
    },
    remaining,
    close: () => limiter.close(),
  };
}

/** The hot key is consumed and refunded in turn. */
export const refunded = {
  algorithm: /** @type {const} */ ("token bucket"),
  open: (/** @type {Client} */ client, /** @type {Quota} */ quota) =>
    open(client, quota, (limiter, turn) =>
      turn % 2 === 0 ? limiter.consume(HOT) : limiter.refund(HOT, 1),
    ),
};

/** Each call on the hot key has another policy than the one before. */
export const ofItsOwn = {
  algorithm: /** @type {const} */ ("token bucket"),
  open: (/** @type {Client} */ client, /** @type {Quota} */ quota) => {
    const policies = variants(quota, 3);
    return open(client, quota, (limiter, turn) =>
      limiter.consume(HOT, { policy: policies[turn % policies.length] }),
    );
  },
};

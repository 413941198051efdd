/** redis-semaphore at its defaults: who finds no permit asks again every 10 ms. */
import { Semaphore } from "redis-semaphore";

/**
 * @param {import("../../clients.mjs").Client} client
 * @param {number} limit
 */
export function open({ kind, raw }, limit) {
  if (kind !== "ioredis") throw new Error("redis-semaphore is written for ioredis");
  return {
    acquire: async () => {
      // Each holder or waiter is a separate object.
      const semaphore = new Semaphore(raw, "k", limit);
      await semaphore.acquire();
      return () => semaphore.release();
    },
    close: () => {},
  };
}

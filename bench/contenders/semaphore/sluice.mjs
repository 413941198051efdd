import { Semaphore } from "../../../packages/sluice/dist/index.js";
import { RedisStore } from "../../../packages/sluice/dist/stores/redis/index.js";

/**
 * @param {import("../../clients.mjs").Client} client
 * @param {number} limit
 */
export function open({ raw }, limit) {
  const store = new RedisStore({ client: raw });
  const semaphore = new Semaphore({ limit, store, timeout: "10s" });
  return {
    acquire: async () => {
      const permit = await semaphore.acquire("k");
      return () => permit.release();
    },
    close: async () => {
      await semaphore.close();
      await store.close();
    },
  };
}

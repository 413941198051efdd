/** Sluice's semaphore on Redis: who finds no permit waits in line and is notified. */
import { redisSemaphore } from "../../sluice.mjs";

/**
 * @param {import("../../clients.mjs").Client} client
 * @param {number} limit
 */
export function open(client, limit) {
  const { semaphore, close } = redisSemaphore(client, limit);
  return {
    acquire: async () => {
      const permit = await semaphore.acquire("k");
      return () => permit.release();
    },
    close,
  };
}

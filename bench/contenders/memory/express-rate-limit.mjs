/** The store in memory of express-rate-limit, without its middleware. */
import { MemoryStore } from "express-rate-limit";
import { LIMIT, PERIOD_MS } from "../../workload.mjs";

export const algorithm = "fixed window";

export function open() {
  const store = new MemoryStore();
  store.init(/** @type {import("express-rate-limit").Options} */ ({ windowMs: PERIOD_MS }));
  return {
    call: (/** @type {string} */ key) => store.increment(key),
    remaining: (/** @type {{ totalHits: number }} */ { totalHits }) => LIMIT - totalHits,
    close: () => {
      store.shutdown();
    },
  };
}

/** The package as users get it, built, at its defaults. By path, so that the same code measures any build. */
import { pathToFileURL } from "node:url";
import { isCompared, measured } from "./build.mjs";
import { DENIED, LIMIT, PERIOD_MS } from "./workload.mjs";

/** @typedef {import("../packages/sluice/dist/index.js").Decision} Decision */
/** @typedef {import("../packages/sluice/dist/index.js").RateLimiter} RateLimiter */

/** Builds are compared on busy machines too, where an answer without the store says nothing of a build. */
const patience = isCompared ? { timeout: "10s" } : {};
const from = (/** @type {string} */ path) => import(pathToFileURL(path).href);
const { RateLimiter, Semaphore, tokenBucket } =
  /** @type {typeof import("../packages/sluice/dist/index.js")} */ (await from(measured.core));
const { RedisStore } =
  /** @type {typeof import("../packages/sluice/dist/stores/redis/index.js")} */ (
    await from(measured.redis)
  );

/** In memory. */
export function memoryLimiter() {
  return new RateLimiter({ policy: tokenBucket({ limit: LIMIT, period: PERIOD_MS }) });
}

/**
 * In Redis.
 * @param {import("./clients.mjs").Client} client
 * @param {import("./workload.mjs").Quota} quota
 * @returns {import("../packages/sluice/dist/index.js").RateLimiter}
 */
export function redisLimiter({ raw }, { limit, periodMs, policies }) {
  const bucket = { limit, period: periodMs };
  const policy =
    policies === 1
      ? tokenBucket(bucket)
      : Array.from({ length: policies }, (_, i) => tokenBucket({ ...bucket, name: `p${i}` }));
  return new RateLimiter({ ...patience, policy, store: new RedisStore({ client: raw }) });
}

/**
 * So many policies of one name that differ in their limits.
 * @param {import("./workload.mjs").Quota} quota
 * @param {number} count
 */
export function variants({ limit, periodMs }, count) {
  return Array.from({ length: count }, (_, i) =>
    tokenBucket({ limit: limit - i, period: periodMs }),
  );
}

/**
 * In Redis.
 * @param {import("./clients.mjs").Client} client
 * @param {number} limit
 * @returns {{ semaphore: import("../packages/sluice/dist/index.js").Semaphore, close: () => Promise<void> }}
 */
export function redisSemaphore({ raw }, limit) {
  const store = new RedisStore({ client: raw });
  const semaphore = new Semaphore({ limit, store, timeout: "10s" });
  const close = async () => {
    await semaphore.close();
    await store.close();
  };
  return { semaphore, close };
}

/** A decision made without the store is no decision to compare. */
export function remaining(/** @type {Decision} */ decision) {
  return decision.allowed && decision.source === "store" ? decision.remaining : DENIED;
}

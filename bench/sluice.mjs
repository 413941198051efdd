/** The package as users get it, built, at its defaults. By path, so that the same code measures any build. */
import { pathToFileURL } from "node:url";
import { isCompared, measured } from "./build.mjs";
import { DENIED, USUAL } from "./workload.mjs";

/** @typedef {import("../packages/sluice/dist/index.js").Decision} Decision */
/** @typedef {import("../packages/sluice/dist/index.js").RateLimiter} RateLimiter */

/** @typedef {typeof import("../packages/sluice/dist/index.js") & typeof import("../packages/sluice/dist/stores/redis/index.js")} Modules */

/** Builds are compared on busy machines too, and an answer without the store says nothing about a build. */
const PATIENCE = { timeout: "10s" };
/** @type {{ timeout?: string }} */
const patience = isCompared ? PATIENCE : {};
/** @type {Modules} */
const own = await modulesOf(measured);

/** @param {import("./build.mjs").Build} build @returns {Promise<Modules>} */
export async function modulesOf({ core, redis }) {
  const from = (/** @type {string} */ path) => import(pathToFileURL(path).href);
  return /** @type {Modules} */ ({ ...(await from(core)), ...(await from(redis)) });
}

/**
 * In memory.
 * @param {import("./workload.mjs").Quota} [quota]
 * @param {Modules} [build]
 */
export function memoryLimiter({ limit, periodMs } = USUAL, build = own) {
  return new build.RateLimiter({ policy: build.tokenBucket({ limit, period: periodMs }) });
}

/**
 * In Redis.
 * @param {import("./clients.mjs").Client} client
 * @param {import("./workload.mjs").Quota} quota
 * @returns {import("../packages/sluice/dist/index.js").RateLimiter}
 */
export function redisLimiter(client, quota) {
  return limiterOf(own, client, quota, patience);
}

/**
 * Of a build that is compared with others in one process.
 * @param {Modules} build
 * @param {import("./clients.mjs").Client} client
 * @param {import("./workload.mjs").Quota} quota
 * @param {{ timeout?: string }} [options]
 * @returns {RateLimiter}
 */
export function limiterOf(
  { RateLimiter, RedisStore, tokenBucket },
  { raw },
  { limit, periodMs, policies },
  options = PATIENCE,
) {
  const bucket = { limit, period: periodMs };
  const policy =
    policies === 1
      ? tokenBucket(bucket)
      : Array.from({ length: policies }, (_, i) => tokenBucket({ ...bucket, name: `p${i}` }));
  return new RateLimiter({ ...options, policy, store: new RedisStore({ client: raw }) });
}

/**
 * `count` policies of one name that differ in their limits.
 * @param {import("./workload.mjs").Quota} quota
 * @param {number} count
 */
export function variants({ limit, periodMs }, count) {
  return Array.from({ length: count }, (_, i) =>
    own.tokenBucket({ limit: limit - i, period: periodMs }),
  );
}

/**
 * In Redis.
 * @param {import("./clients.mjs").Client} client
 * @param {number} limit
 * @returns {{ semaphore: import("../packages/sluice/dist/index.js").Semaphore, close: () => Promise<void> }}
 */
export function redisSemaphore({ raw }, limit) {
  const store = new own.RedisStore({ client: raw });
  const semaphore = new own.Semaphore({ limit, store, timeout: "10s" });
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

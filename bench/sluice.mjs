/**
 * The package as users get it, built, at its defaults. By path: a workspace cannot name the root
 * package it lives in.
 */
import { RateLimiter, tokenBucket } from "../packages/sluice/dist/index.js";
import { RedisStore } from "../packages/sluice/dist/stores/redis/index.js";
import { DENIED, LIMIT, PERIOD_MS } from "./workload.mjs";

/** @typedef {Awaited<ReturnType<RateLimiter["consume"]>>} Decision */

/** In memory. */
export function memoryLimiter() {
  return new RateLimiter({ policy: tokenBucket({ limit: LIMIT, period: PERIOD_MS }) });
}

/**
 * In Redis.
 * @param {import("./clients.mjs").Client} client
 * @param {import("./workload.mjs").Quota} quota
 */
export function redisLimiter({ raw }, { limit, periodMs, policies }) {
  const bucket = { limit, period: periodMs };
  const policy =
    policies === 1
      ? tokenBucket(bucket)
      : Array.from({ length: policies }, (_, i) => tokenBucket({ ...bucket, name: `p${i}` }));
  return new RateLimiter({ policy, store: new RedisStore({ client: raw }) });
}

/** A decision made without the store is no decision to compare. */
export function remaining(/** @type {Decision} */ decision) {
  return decision.allowed && decision.source === "store" ? decision.remaining : DENIED;
}

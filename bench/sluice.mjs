/**
 * The package as users get it, built, at its defaults. By path: a workspace cannot name the root
 * package it lives in.
 */
import { RateLimiter, tokenBucket } from "../dist/index.js";
import { RedisStore } from "../dist/stores/redis/index.js";
import { DENIED, LIMIT, PERIOD_MS } from "./workload.mjs";

/** @typedef {Awaited<ReturnType<RateLimiter["consume"]>>} Decision */

const policy = tokenBucket({ limit: LIMIT, period: PERIOD_MS });

/** In memory. */
export function memoryLimiter() {
  return new RateLimiter({ policy });
}

/** In Redis. */
export function redisLimiter(/** @type {import("./clients.mjs").Client} */ { raw }) {
  return new RateLimiter({ policy, store: new RedisStore({ client: raw }) });
}

/** A decision made without the store is no decision to compare. */
export function remaining(/** @type {Decision} */ decision) {
  return decision.allowed && decision.source === "store" ? decision.remaining : DENIED;
}

/** sluice/redis: the store on Redis, Valkey or a Cluster of either. */
export type { CheckOptions } from "./check/check-store.js";
export type { FindingId, FindingSeverity, StoreFinding } from "./check/finding.js";
export type { AccessOptions } from "./access.js";
export type { BunLike } from "./clients/bun.js";
export type { ClientMethod, RunScript } from "./clients/client.js";
export type { GlideLike } from "./clients/glide.js";
export type { RedisClientLike } from "./clients/index.js";
export type { IoRedisLike } from "./clients/ioredis.js";
export type { NodeRedisLike } from "./clients/node-redis.js";
export type { UpstashLike } from "./clients/upstash.js";
export type { ConnectOptions } from "./connect.js";
export { RedisStore } from "./redis-store.js";
export type { RedisStoreOptions } from "./store-options.js";

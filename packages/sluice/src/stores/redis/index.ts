/** sluice/redis: the store on Redis, Valkey or a Cluster of either. */
export type {
  BunLike,
  GlideLike,
  IoRedisLike,
  NodeRedisLike,
  RedisClientLike,
  RunScript,
  UpstashLike,
} from "./client.js";
export type { ConnectOptions } from "./connect.js";
export { RedisStore, type RedisStoreOptions } from "./redis-store.js";

/** Options of a RedisStore. */
import type { Clock } from "../../core/clock.js";
import type { OutageHooks } from "../../events/hooks.js";
import type { AccessOptions } from "./access.js";

/** Options of `RedisStore`. */
export interface RedisStoreOptions extends AccessOptions {
  /**
   * A connection for subscriptions alone, by which waiting callers of semaphores, and followers of documents and overrides,
   * are notified: a client of redis, ioredis or iovalkey. Default: a duplicate of `client`, if it is one of these, opened
   * at the first wait or follower. With false, or a `client` that cannot subscribe, they have to ask.
   */
  readonly subscriber?: object | false | undefined;
  /**
   * Decisions made by one batch at most, 1 to 1,000; default 256, some 0.6 ms of the server's time. A call
   * over three policies counts as three; one over more policies than this goes alone.
   */
  readonly maxBatch?: number | undefined;
  /** Batches under way at once, 1 to 1,000; default 3. Calls that arrive until one is answered form the next batch. */
  readonly maxInFlight?: number | undefined;
  /**
   * For a Cluster: puts identities together on this many slots, 1 to 16,384, so that batches are larger and calls over
   * several identities more often possible. Default: each identity has its own hash tag. The number is part of the keys, so
   * a change loses the state.
   */
  readonly partitions?: number | undefined;
  /** Called for the store's outages, once for all of its limiters and semaphores. */
  readonly hooks?: OutageHooks | undefined;
  /** For tests and simulation: used instead of the server's clock. */
  readonly clock?: Clock | undefined;
}

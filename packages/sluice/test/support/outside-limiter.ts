/** A limiter on a store as if outside the process, in a time that stands still. */
import { onTestFinished } from "vitest";
import {
  type Decision,
  RateLimiter,
  type RateLimiterOptions,
  tokenBucket,
} from "../../src/index.js";
import { type ModelTime, stopTime } from "./model-time.js";
import { OutsideStore } from "./outside-store.js";

export const policy = tokenBucket({ limit: 10, period: "10s" });

export interface Setup extends ModelTime {
  readonly store: OutsideStore;
  readonly limiter: RateLimiter;
  /** How many calls the store has got. */
  readonly asked: () => number;
}

export function setUp(options: Partial<Omit<RateLimiterOptions, "store">> = {}): Setup {
  const time = stopTime();
  const store = new OutsideStore(time.clock);
  const limiter = new RateLimiter({ policy, store, onStoreFailure: "throw", ...options });
  onTestFinished(() => limiter.close());
  return { ...time, store, limiter, asked: () => store.calls.length };
}

/** Uses up all, then is denied once. */
export async function drain(limiter: RateLimiter, key = "k", cost = 1): Promise<Decision> {
  await limiter.consume(key, { cost: 10 });
  return limiter.consume(key, { cost });
}

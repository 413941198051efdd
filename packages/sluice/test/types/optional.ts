/** Options may be passed on as they are, `undefined` where there are none: under exactOptionalPropertyTypes too. */
import type * as core from "../../src/index.js";
import type * as fetching from "../../src/outgoing/fetch.js";
import type * as headers from "../../src/headers/index.js";
import type * as redis from "../../src/stores/redis/index.js";
import type * as testing from "../../src/testing/index.js";
import { expectType } from "./expect-type.js";

/** The names of options that may be absent, but not undefined. */
type Exact<T> = {
  [K in keyof T]-?: Partial<Pick<T, K>> extends Pick<T, K>
    ? undefined extends Required<T>[K]
      ? never
      : K
    : never;
}[keyof T];

/** Every type of options that is exported. */
type Options = [
  core.AcquireOptions,
  core.AsyncCallOptions,
  core.AtomicOptions,
  core.AtomicRequest,
  core.BlockOptions,
  core.BreakerOptions,
  core.CalendarWindowOptions,
  core.CallOptions,
  core.DenyCacheOptions,
  core.FixedWindowOptions,
  core.GcraOptions,
  core.Hooks,
  core.KeyedRequest,
  core.LeakyBucketOptions,
  core.LimitedOptions<[string]>,
  core.MemoryStoreOptions,
  core.OutageHooks,
  core.PrefetchOptions,
  core.RateLimiterOptions,
  core.SemaphoreOptions,
  core.SlidingLogOptions,
  core.SlidingWindowOptions,
  core.SlotOption,
  core.TokenBucketOptions,
  core.TryAcquireOptions,
  core.WaitOptions,
  core.WrapOptions<[string]>,
  fetching.LimitFetchOptions,
  fetching.OutgoingOptions,
  fetching.RetryOptions,
  headers.QuotaPolicyInput,
  headers.RateLimitFieldsInput,
  headers.ServiceLimit,
  redis.ConnectOptions,
  redis.RedisStoreOptions,
  testing.StoreConformanceOptions,
];

type AllExact = { [I in keyof Options]: Exact<Options[I]> }[number];
declare const none: AllExact;
expectType<never>(none);

// The check itself finds one.
declare const found: Exact<{ readonly a?: number; readonly b?: number | undefined; c: string }>;
expectType<"a">(found);

/** What a server says of its limits, whichever form it says it in. */

/** A quota that the server grants: an item of RateLimit-Policy. */
export interface QuotaPolicy {
  /** The policy's name. */
  readonly name: string;
  /** Quota units a window: 0 to 999,999,999,999,999. */
  readonly quota: number;
  /** Whole seconds, 1 or more; absent if the server does not say. */
  readonly windowSeconds?: number | undefined;
  /** "requests" (the default), "content-bytes" or "concurrent-requests". */
  readonly quotaUnit: string;
  /** The bytes by which the server tells callers apart. */
  readonly partitionKey?: Uint8Array | undefined;
}

/** What is left of a quota: an item of RateLimit. */
export interface ServiceLimit {
  /** The policy's name. */
  readonly name: string;
  /** Quota units: 0 to 999,999,999,999,999. */
  readonly remaining: number;
  /** Milliseconds within which no more than `remaining` may be used; absent if the server does not say. */
  readonly resetAfterMs?: number | undefined;
  /** Whom the limit is for, as the service named it. */
  readonly partitionKey?: Uint8Array | undefined;
}

/**
 * How limits are written. "draft-11" is the IETF draft's RateLimit and RateLimit-Policy as lists;
 * "draft-07" has one `RateLimit: limit=100, remaining=50, reset=5`; "draft-06" has RateLimit-Limit,
 * RateLimit-Remaining and RateLimit-Reset; "x-ratelimit" is the custom of before.
 */
export type RateLimitForm = "draft-11" | "draft-07" | "draft-06" | "x-ratelimit";

/** The limit that a caller meets first. */
export interface TightestLimit extends ServiceLimit {
  /** Quota units a window, if the server says. */
  readonly quota?: number | undefined;
  /** The length of its window in seconds; undefined if the service did not say. */
  readonly windowSeconds?: number | undefined;
}

/** Everything that an answer says about limits. */
export interface RateLimitInfo {
  /** The form that was found; absent if the answer has none. */
  readonly form?: RateLimitForm | undefined;
  /** What RateLimit-Policy listed. */
  readonly policies: readonly QuotaPolicy[];
  /** What RateLimit, or an older form, listed. */
  readonly limits: readonly ServiceLimit[];
  /** From Retry-After: milliseconds, 0 or more. */
  readonly retryAfterMs?: number | undefined;
  /** Of used-up limits the one that takes longest, else the one with least remaining. */
  readonly tightest?: TightestLimit | undefined;
}

/** The name in forms that have none. */
export const UNNAMED = "default";

export const DEFAULT_QUOTA_UNIT = "requests";

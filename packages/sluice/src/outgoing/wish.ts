/** How long an answer asks its callers to wait. */
import { type HeaderSource, pickFields } from "../headers/header-source.js";
import { parseRateLimit, waitMsOf } from "../headers/parse.js";
import { isRetryAfter } from "../headers/retry-after.js";

/** An answer, as far as it matters here. */
export interface AnswerHead {
  readonly status: number;
  readonly headers: HeaderSource;
  /** Its address after redirects; absent or empty if that is not known. */
  readonly url?: string | undefined;
}

export interface Wish {
  /** How long the call itself should wait: milliseconds, 0 if the answer does not say. */
  readonly waitMs: number;
  /** How long later calls should. */
  readonly pauseMs: number;
  /** Whether the answer has a Retry-After that can be read. */
  readonly hasRetryAfter: boolean;
}

/** A refusal that does not say for how long, or not in a way that can be read, is meant for a while all the same. */
const UNKNOWN_PAUSE_MS = 1000;
const TOO_MANY_REQUESTS = 429;
/** Below it, Retry-After is not about a refusal: a redirect may have it too (RFC 9110 §10.2.3). */
const FIRST_ERROR = 400;

/**
 * @param pausing the statuses whose Retry-After counts for later calls too
 * @param nowMs milliseconds since the Unix epoch, for answers without `Date`
 */
export function wishOf(
  { status, headers }: AnswerHead,
  pausing: ReadonlySet<number>,
  nowMs: number,
): Wish {
  const { retryAfterMs, ...limits } = parseRateLimit(headers, { nowMs });
  const limitsMs = waitMsOf(limits);
  const isPausing = pausing.has(status);
  if (retryAfterMs !== undefined && status >= FIRST_ERROR) {
    const pauseMs = isPausing ? retryAfterMs : limitsMs;
    return { waitMs: retryAfterMs, pauseMs, hasRetryAfter: true };
  }
  const isRefusal =
    isPausing && (status === TOO_MANY_REQUESTS || pickFields(headers, isRetryAfter).size > 0);
  const pauseMs = limitsMs === 0 && isRefusal ? UNKNOWN_PAUSE_MS : limitsMs;
  return { waitMs: limitsMs, pauseMs, hasRetryAfter: false };
}

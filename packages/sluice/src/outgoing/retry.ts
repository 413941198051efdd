/** Whether, and after how long, a request is tried again. */
import type { RetrySettings } from "./options.js";

/** How a try ended. */
export interface TryOutcome {
  /** The status code, or undefined if no answer came. */
  readonly status: number | undefined;
  /** Whether the answer came with a Retry-After that can be read. */
  readonly hasRetryAfter: boolean;
  /** How long the server asked to wait: milliseconds, 0 if it did not ask. */
  readonly waitMs: number;
}

/** RFC 9110 §9.2.2: doing it twice is the same as doing it once. */
const IDEMPOTENT: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "PUT",
  "DELETE",
]);

const TOO_MANY_REQUESTS = 429;
/** With Retry-After they say that the request was refused; without, 503 may come from a gateway that passed it on. */
const REFUSED_WITH_RETRY_AFTER: ReadonlySet<number> = new Set([403, 503]);

/**
 * Whether the answer says that nothing was done. No option changes this: an order that is placed twice costs more than
 * one that the caller has to repeat.
 */
function isRefusal({ status, hasRetryAfter }: TryOutcome): boolean {
  if (status === undefined) return false;
  return status === TOO_MANY_REQUESTS || (hasRetryAfter && REFUSED_WITH_RETRY_AFTER.has(status));
}

/**
 * Milliseconds to wait before the next try, or undefined if there is to be none: the wait that the server requested, and on
 * top of it an exponential backoff with full jitter (from 0 to `baseDelay`·2^`attempt`, at most `maxDelay`), so that those
 * who were refused together do not come back together.
 *
 * @param attempt tries made before this one: 0 after the first
 */
export function retryDelayMs(
  settings: RetrySettings,
  attempt: number,
  method: string,
  outcome: TryOutcome,
  random: () => number,
): number | undefined {
  const { attempts, statuses, baseDelayMs, maxDelayMs } = settings;
  if (attempt >= attempts) return undefined;
  if (outcome.status !== undefined && !statuses.has(outcome.status)) return undefined;
  if (!IDEMPOTENT.has(method) && !isRefusal(outcome)) return undefined;
  if (outcome.waitMs > maxDelayMs) return undefined;
  const backoffMs = Math.min(maxDelayMs, baseDelayMs * 2 ** attempt);
  return outcome.waitMs + random() * backoffMs;
}

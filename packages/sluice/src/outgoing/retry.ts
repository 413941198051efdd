/** Whether, and after how long, a request is tried again. */
import type { RetrySettings } from "./options.js";

/** How a try ended. */
export interface TryOutcome {
  /** The status code, or undefined where no answer came. */
  readonly status: number | undefined;
  /** Whether a refusal came with Retry-After. */
  readonly hasRetryAfter: boolean;
  /** How long the server asked to wait: milliseconds, 0 where it did not ask. */
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

type Condition = (method: string, outcome: TryOutcome) => boolean;

const ifIdempotent: Condition = (method) => IDEMPOTENT.has(method);
/** The answer says that nothing was done. */
const always: Condition = () => true;

/** By status code: when is it safe, and of use, to try again? */
const CONDITIONS: ReadonlyMap<number | undefined, Condition> = new Map([
  [undefined, ifIdempotent],
  [408, ifIdempotent],
  [425, ifIdempotent],
  [429, always],
  [500, ifIdempotent],
  [502, ifIdempotent],
  [503, (method, outcome) => outcome.hasRetryAfter || ifIdempotent(method, outcome)],
  [504, ifIdempotent],
]);

/**
 * Milliseconds to wait before the next try, or undefined where there is to be none: what the server
 * asked for, and on top of it an exponential backoff with full jitter (from 0 to
 * `baseDelay`·2^`attempt`, at most `maxDelay`), so that those who were refused together do not come
 * back together.
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
  if (attempt >= settings.attempts) return undefined;
  if (!(CONDITIONS.get(outcome.status)?.(method, outcome) ?? false)) return undefined;
  if (outcome.waitMs > settings.maxDelayMs) return undefined;
  const backoffMs = Math.min(settings.maxDelayMs, settings.baseDelayMs * 2 ** attempt);
  return outcome.waitMs + random() * backoffMs;
}

const REPEATABLE_OBJECT = /^\[object (?:Blob|File|FormData|URLSearchParams)\]$/;

/** Whether a body can be sent a second time: streams and iterators cannot. */
export function isReplayable(body: unknown): boolean {
  if (body === undefined || body === null || typeof body === "string") return true;
  if (ArrayBuffer.isView(body) || body instanceof ArrayBuffer) return true;
  return REPEATABLE_OBJECT.test(Object.prototype.toString.call(body));
}

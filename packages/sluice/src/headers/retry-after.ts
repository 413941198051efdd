/** Retry-After (RFC 9110 §10.2.3): whole seconds, or a date. */
import { parseHttpDate } from "./http-date.js";

const SECONDS = /^\d{1,400}$/;

/** Milliseconds from `nowMs` on, never negative, or undefined where the field is malformed. */
export function parseRetryAfter(field: string, nowMs: number): number | undefined {
  if (SECONDS.test(field)) return safeMs(Number(field) * 1e3);
  const dateMs = parseHttpDate(field, nowMs);
  return dateMs === undefined ? undefined : safeMs(dateMs - nowMs);
}

/** Whole milliseconds, rounded up, that a double still counts exactly. */
export function safeMs(ms: number): number {
  return Math.min(Math.max(Math.ceil(ms), 0), Number.MAX_SAFE_INTEGER);
}

/** Retry-After (RFC 9110 §10.2.3): whole seconds, or a date; and what services write instead. */
import { amountIn, longestOf, safeMs, spanMs, waitMsIn } from "./waits.js";

/** How a number in each field is meant, in order of preference. */
const FIELDS: readonly (readonly [name: string, read: typeof waitMsIn])[] = [
  ["retry-after-ms", milliseconds],
  ["x-ms-retry-after-ms", milliseconds],
  ["retry-after", asked],
  ["x-retry-after", asked],
  ["x-ratelimit-retry-after", asked],
  ["x-rate-limit-retry-after", asked],
];

/** NestJS's throttler has one for each limit that has a name: Retry-After-<name>. */
const NAMED_PREFIX = "retry-after-";

/** Whether a field, named in lower case, says when to come back. */
export function isRetryAfter(name: string): boolean {
  return name.startsWith(NAMED_PREFIX) || FIELDS.some(([known]) => known === name);
}

/** Milliseconds from `nowMs` on, never negative, or undefined if no field can be read. */
export function retryAfterMsIn(
  fields: ReadonlyMap<string, string>,
  nowMs: number,
): number | undefined {
  for (const [name, read] of FIELDS) {
    const ms = longestOf(fields.get(name), (value) => read(value, nowMs));
    if (ms !== undefined) return ms;
  }
  const named = [...fields].filter(([name]) => name.startsWith(NAMED_PREFIX));
  const waits = named.flatMap(([, field]) => parseRetryAfter(field, nowMs) ?? []);
  return waits.length === 0 ? undefined : Math.max(...waits);
}

/** Milliseconds from `nowMs` on, never negative, or undefined if the field is malformed. */
export function parseRetryAfter(field: string, nowMs: number): number | undefined {
  return longestOf(field, (value) => asked(value, nowMs));
}

function asked(value: string, nowMs: number): number | undefined {
  return waitMsIn(value, nowMs, true);
}

function milliseconds(value: string): number | undefined {
  const ms = amountIn(value);
  return ms === undefined ? spanMs(value) : safeMs(ms);
}

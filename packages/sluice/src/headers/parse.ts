/** Reads what an HTTP answer says about limits, in whatever form, and never throws on what it says. */
import { systemClock } from "../core/clock.js";
import { FORM_FIELDS, FORMS } from "./forms.js";
import { type HeaderSource, pickFields } from "./header-source.js";
import { parseHttpDate } from "./http-date.js";
import type { QuotaPolicy, RateLimitInfo, ServiceLimit, TightestLimit } from "./rate-limit.js";
import { isRetryAfter, retryAfterMsIn } from "./retry-after.js";
import { isLimitField } from "./separate.js";
import { TIMED } from "./timed.js";

const WANTED: ReadonlySet<string> = new Set([...FORM_FIELDS, "date", "age"]);
const isWanted = (name: string): boolean =>
  WANTED.has(name) || isRetryAfter(name) || isLimitField(name);

/**
 * What an answer says about rate limits: `RateLimit` and `RateLimit-Policy` of
 * draft-ietf-httpapi-ratelimit-headers-11 and of the drafts before it, `X-RateLimit-*`, `Retry-After`.
 *
 * Moments are turned into milliseconds from the answer on, by its own `Date` if it has one, so that
 * a clock that differs from the server's does no harm. A malformed field counts as absent. Limits
 * of an answer out of a cache (`Age` above 0) are old news and ignored.
 *
 * @param headers the answer's header fields
 * @param options `nowMs`: milliseconds since the Unix epoch, for answers without `Date`; default: now
 * @throws InvalidOptionError for arguments of another kind
 * @example
 * import { parseRateLimit } from "sluice/headers";
 * const info = parseRateLimit({
 *   "ratelimit-policy": '"burst";q=100;w=60, "daily";q=1000;w=86400',
 *   ratelimit: '"burst";r=0;t=30, "daily";r=900;t=4000',
 * });
 * console.log(info.form, info.policies.length); // draft-11 2
 * console.log(info.tightest?.name, info.tightest?.resetAfterMs); // burst 30000
 */
export function parseRateLimit(
  headers: HeaderSource,
  options: { readonly nowMs?: number | undefined } = {},
): RateLimitInfo {
  const { nowMs = systemClock.nowUs() / 1e3 } = TIMED.read(options);
  const fields = pickFields(headers, isWanted);
  const sentAtMs = parseHttpDate(fields.get("date") ?? "", nowMs) ?? nowMs;
  const retryAfterMs = retryAfterMsIn(fields, sentAtMs);
  const info = {
    policies: [],
    limits: [],
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
  if (Number(fields.get("age")) > 0) return info;
  for (const { form, read } of FORMS) {
    const found = read({ fields, sentAtMs });
    if (found === undefined) continue;
    const tightest = tightestOf(found.limits, found.policies);
    return { ...info, form, ...found, ...(tightest !== undefined && { tightest }) };
  }
  return info;
}

/**
 * Milliseconds until the server would have the next request: `Retry-After` if there is one, as
 * draft-11 §7 asks, else until the last used-up limit is over; 0 if the next request may come now.
 *
 * @throws InvalidOptionError for arguments of another kind
 * @example
 * import { parseRateLimit, waitMsOf } from "sluice/headers";
 * console.log(waitMsOf(parseRateLimit({ "retry-after": "2" }))); // 2000
 * console.log(waitMsOf(parseRateLimit({ ratelimit: '"burst";r=0;t=30' }))); // 30000
 * console.log(waitMsOf(parseRateLimit({ ratelimit: '"burst";r=5;t=30' }))); // 0
 */
export function waitMsOf(info: RateLimitInfo): number {
  if (info.retryAfterMs !== undefined) return info.retryAfterMs;
  return info.tightest?.remaining === 0 ? (info.tightest.resetAfterMs ?? 0) : 0;
}

function tightestOf(
  limits: readonly ServiceLimit[],
  policies: readonly QuotaPolicy[],
): TightestLimit | undefined {
  const [first, ...others] = limits;
  if (first === undefined) return undefined;
  const tightest = others.reduce((a, b) => (isTighter(b, a) ? b : a), first);
  const policy = policies.find(
    ({ name, partitionKey }) =>
      name === tightest.name && sameBytes(partitionKey, tightest.partitionKey),
  );
  if (policy === undefined) return tightest;
  const { quota, windowSeconds } = policy;
  return { ...tightest, quota, ...(windowSeconds !== undefined && { windowSeconds }) };
}

function isTighter(a: ServiceLimit, b: ServiceLimit): boolean {
  if (a.remaining !== b.remaining) return a.remaining < b.remaining;
  return (a.resetAfterMs ?? 0) > (b.resetAfterMs ?? 0);
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

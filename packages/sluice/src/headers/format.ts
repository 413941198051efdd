/** Writes the header fields that `parseRateLimit` reads. No value can smuggle in a line or a field. */
import { systemClock } from "../core/clock.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkChoice, checkList, checkObject } from "../core/options.js";
import {
  DEFAULT_QUOTA_UNIT,
  type QuotaPolicy,
  type RateLimitForm,
  type ServiceLimit,
} from "./rate-limit.js";
import { TIMED } from "./timed.js";
import { type BareItem, type Item, MAX_INTEGER, PRINTABLE_ASCII } from "./structured-field.js";
import { serializeDictionary, serializeList } from "./structured-serializer.js";

/** A policy to be written; the quota unit is "requests" if none is given. */
export type QuotaPolicyInput = Omit<QuotaPolicy, "quotaUnit"> & {
  /** What the quota counts; default "requests". */
  readonly quotaUnit?: string | undefined;
};

/**
 * The value of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11 §3).
 *
 * @throws InvalidOptionError for a name that is not printable ASCII, or a number out of range
 * @example
 * import { formatRateLimitPolicy } from "sluice/headers";
 * const policies = [{ name: "burst", quota: 100, windowSeconds: 60 }];
 * console.log(formatRateLimitPolicy(policies)); // "burst";q=100;w=60
 */
export function formatRateLimitPolicy(policies: readonly QuotaPolicyInput[]): string {
  checkList("policies", policies);
  return serializeList(
    policies.map((policy, i) => {
      checkObject(`policies[${i}]`, policy);
      const { quota, quotaUnit = DEFAULT_QUOTA_UNIT, windowSeconds, partitionKey } = policy;
      const option = `policies[${i}]`;
      return named(`${option}.name`, policy.name, [
        ["q", whole(`${option}.quota`, quota)],
        [
          "qu",
          quotaUnit === DEFAULT_QUOTA_UNIT ? undefined : text(`${option}.quotaUnit`, quotaUnit),
        ],
        [
          "w",
          windowSeconds === undefined
            ? undefined
            : whole(`${option}.windowSeconds`, windowSeconds, 1),
        ],
        ["pk", bytes(`${option}.partitionKey`, partitionKey)],
      ]);
    }),
  );
}

/**
 * The value of `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11 §4). Seconds are rounded up; a
 * reset that never comes (Infinity) is left out.
 *
 * @throws InvalidOptionError for a name that is not printable ASCII, or a number out of range
 * @example
 * import { formatRateLimit } from "sluice/headers";
 * console.log(formatRateLimit([{ name: "burst", remaining: 50, resetAfterMs: 29_100 }])); // "burst";r=50;t=30
 */
export function formatRateLimit(limits: readonly ServiceLimit[]): string {
  checkList("limits", limits);
  return serializeList(
    limits.map((limit, i) => {
      checkObject(`limits[${i}]`, limit);
      const { name, remaining, resetAfterMs, partitionKey } = limit;
      const option = `limits[${i}]`;
      return named(`${option}.name`, name, [
        ["r", whole(`${option}.remaining`, remaining)],
        ["t", seconds(`${option}.resetAfterMs`, resetAfterMs)],
        ["pk", bytes(`${option}.partitionKey`, partitionKey)],
      ]);
    }),
  );
}

/**
 * The value of `Retry-After` (RFC 9110 §10.2.3): whole seconds, rounded up.
 *
 * @param retryAfterMs milliseconds, 0 or more and finite
 * @throws InvalidOptionError
 * @example
 * import { formatRetryAfter } from "sluice/headers";
 * console.log(formatRetryAfter(1001)); // 2
 */
export function formatRetryAfter(retryAfterMs: number): string {
  return String(whole("retryAfterMs", ceilSeconds("retryAfterMs", retryAfterMs)).value);
}

/** What `rateLimitFields` writes. */
export interface RateLimitFieldsInput {
  /** What RateLimit-Policy lists. */
  readonly policies: readonly QuotaPolicyInput[];
  /** What RateLimit lists. */
  readonly limits: readonly ServiceLimit[];
  /** Milliseconds until a refused caller may come back. */
  readonly retryAfterMs?: number | undefined;
}

/**
 * All fields of an answer, by name. The older forms have room for one limit: the first limit is
 * written, with the policy of its name. `Retry-After` is never earlier than the end of a used-up limit.
 *
 * @param form default "draft-11"; "x-ratelimit" writes the reset as seconds since the Unix epoch
 * @param options `nowMs`: milliseconds since the Unix epoch, for "x-ratelimit"; default: now
 * @throws InvalidOptionError
 * @example
 * import { rateLimitFields } from "sluice/headers";
 * const fields = rateLimitFields({
 *   policies: [{ name: "burst", quota: 100, windowSeconds: 60 }],
 *   limits: [{ name: "burst", remaining: 0, resetAfterMs: 30_000 }],
 *   retryAfterMs: 600,
 * });
 * console.log(fields["RateLimit"]); // "burst";r=0;t=30
 * console.log(fields["Retry-After"]); // 30
 */
export function rateLimitFields(
  input: RateLimitFieldsInput,
  form: RateLimitForm = "draft-11",
  options: { readonly nowMs?: number | undefined } = {},
): Readonly<Record<string, string>> {
  checkChoice("form", form, ["draft-11", "draft-07", "draft-06", "x-ratelimit"]);
  const { nowMs = systemClock.nowUs() / 1e3 } = TIMED.read(options);
  checkObject("input", input);
  const { retryAfterMs, limits, policies } = input;
  checkList("policies", policies);
  checkList("limits", limits);
  for (const [i, policy] of policies.entries()) checkObject(`policies[${i}]`, policy);
  for (const [i, limit] of limits.entries()) checkObject(`limits[${i}]`, limit);
  if (retryAfterMs !== undefined) ceilSeconds("retryAfterMs", retryAfterMs);
  if (retryAfterMs === undefined) return WRITERS[form](input, nowMs);
  const usedUp = limits.filter(({ remaining }) => remaining === 0);
  const ends = usedUp.map(({ resetAfterMs = 0 }) => resetAfterMs).filter(Number.isFinite);
  return {
    ...WRITERS[form](input, nowMs),
    "Retry-After": formatRetryAfter(Math.max(retryAfterMs, ...ends)),
  };
}

type Writer = (input: RateLimitFieldsInput, nowMs: number) => Record<string, string>;

const WRITERS: Readonly<Record<RateLimitForm, Writer>> = {
  "draft-11": ({ policies, limits }) => ({
    ...(policies.length > 0 && { "RateLimit-Policy": formatRateLimitPolicy(policies) }),
    ...(limits.length > 0 && { RateLimit: formatRateLimit(limits) }),
  }),
  "draft-07": (input) => {
    const one = single(input);
    if (one === undefined) return {};
    const members = [
      ["limit", one.quota],
      ["remaining", one.remaining],
      ["reset", one.reset],
    ] as const;
    const present = members.flatMap(([name, value]) =>
      value === undefined ? [] : ([[name, plain(value)]] as const),
    );
    return { ...unnamedPolicies(input), RateLimit: serializeDictionary(new Map(present)) };
  },
  "draft-06": (input) => ({ ...unnamedPolicies(input), ...separate("RateLimit-", single(input)) }),
  "x-ratelimit": (input, nowMs) => separate("X-RateLimit-", single(input, nowMs)),
};

interface Integer {
  readonly kind: "integer";
  readonly value: number;
}

interface Single {
  readonly quota: Integer | undefined;
  readonly remaining: Integer;
  readonly reset: Integer | undefined;
}

/** The first limit, as the forms without names have it; its reset counts from `originMs` before now. */
function single(
  { policies, limits: [limit] }: RateLimitFieldsInput,
  originMs = 0,
): Single | undefined {
  if (limit === undefined) return undefined;
  const { resetAfterMs = Number.POSITIVE_INFINITY } = limit;
  const policy = policies.find(({ name }) => name === limit.name);
  return {
    quota: policy === undefined ? undefined : whole("policies.quota", policy.quota),
    remaining: whole("limits[0].remaining", limit.remaining),
    reset: seconds("limits[0].resetAfterMs", originMs + resetAfterMs),
  };
}

function separate(prefix: string, one: Single | undefined): Record<string, string> {
  if (one === undefined) return {};
  return {
    ...(one.quota && { [`${prefix}Limit`]: String(one.quota.value) }),
    [`${prefix}Remaining`]: String(one.remaining.value),
    ...(one.reset && { [`${prefix}Reset`]: String(one.reset.value) }),
  };
}

/** `100;w=60, 1000;w=86400` */
function unnamedPolicies({ policies }: RateLimitFieldsInput): Record<string, string> {
  if (policies.length === 0) return {};
  const list = policies.map(({ quota, windowSeconds }, i): Item => {
    const window =
      windowSeconds === undefined
        ? undefined
        : whole(`policies[${i}].windowSeconds`, windowSeconds, 1);
    return { item: whole(`policies[${i}].quota`, quota), parameters: given([["w", window]]) };
  });
  return { "RateLimit-Policy": serializeList(list) };
}

type Given = readonly (readonly [string, BareItem | undefined])[];

function named(option: string, name: string, parameters: Given): Item {
  return { item: text(option, name), parameters: given(parameters) };
}

/** The parameters that have a value. */
function given(parameters: Given): ReadonlyMap<string, BareItem> {
  return new Map(
    parameters.flatMap(([name, value]) => (value === undefined ? [] : ([[name, value]] as const))),
  );
}

function plain(item: BareItem): Item {
  return { item, parameters: given([]) };
}

function integer(value: number): Integer {
  return { kind: "integer", value };
}

function whole(option: string, value: unknown, minimum = 0): Integer {
  if (Number.isInteger(value) && (value as number) >= minimum && (value as number) <= MAX_INTEGER) {
    return integer(value as number);
  }
  throw new InvalidOptionError(option, value, `a whole number from ${minimum} to ${MAX_INTEGER}`);
}

function seconds(option: string, ms: number | undefined): Integer | undefined {
  if (ms === undefined || ms === Number.POSITIVE_INFINITY) return undefined;
  return whole(option, ceilSeconds(option, ms));
}

function ceilSeconds(option: string, ms: unknown): number {
  if (typeof ms === "number") return Math.ceil(ms / 1e3);
  throw new InvalidOptionError(option, ms, "a number of milliseconds");
}

function text(option: string, value: unknown): BareItem {
  if (typeof value === "string" && PRINTABLE_ASCII.test(value)) return { kind: "string", value };
  throw new InvalidOptionError(option, value, "a string of printable ASCII");
}

function bytes(option: string, value: unknown): BareItem | undefined {
  if (value === undefined) return undefined;
  if (value instanceof Uint8Array) return { kind: "bytes", value };
  throw new InvalidOptionError(option, value, "a Uint8Array");
}

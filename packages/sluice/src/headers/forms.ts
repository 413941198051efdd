/** The four forms in which servers state their limits, each read by a rule of its own. */
import { parseHttpDate } from "./http-date.js";
import {
  DEFAULT_QUOTA_UNIT,
  type QuotaPolicy,
  type RateLimitForm,
  type ServiceLimit,
  UNNAMED,
} from "./rate-limit.js";
import { safeMs } from "./retry-after.js";
import type { BareItem, Item, Member, Parameters } from "./structured-field.js";
import { parseDictionary, parseList } from "./structured-parser.js";

/** The fields of an answer by name in lower case, and the moment at which the server sent it. */
export interface Answer {
  readonly fields: ReadonlyMap<string, string>;
  readonly sentAtMs: number;
}

interface Limits {
  readonly policies: readonly QuotaPolicy[];
  readonly limits: readonly ServiceLimit[];
}

interface Form {
  readonly form: RateLimitForm;
  /** undefined where the answer does not have this form. */
  readonly read: (answer: Answer) => Limits | undefined;
}

/** In order of preference: an answer that has several forms is read by the first. */
export const FORMS: readonly Form[] = [
  { form: "draft-11", read: readLists },
  { form: "draft-07", read: readDictionary },
  { form: "draft-06", read: (answer) => readSeparate(answer, "ratelimit-") },
  {
    form: "x-ratelimit",
    read: (answer) => readSeparate(answer, "x-ratelimit-") ?? readSeparate(answer, "x-rate-limit-"),
  },
];

const SEPARATE = ["limit", "remaining", "reset", "reset-after"];

/** Every field that a form reads. */
export const FORM_FIELDS: readonly string[] = [
  "ratelimit",
  "ratelimit-policy",
  ...["ratelimit-", "x-ratelimit-", "x-rate-limit-"].flatMap((prefix) =>
    SEPARATE.map((name) => prefix + name),
  ),
];

/** draft-ietf-httpapi-ratelimit-headers-08 to -11: lists of named items. */
function readLists({ fields }: Answer): Limits | undefined {
  const policies = listOf(fields.get("ratelimit-policy"), policyOf);
  const limits = listOf(fields.get("ratelimit"), limitOf);
  if (policies === undefined && limits === undefined) return undefined;
  return { policies: policies ?? [], limits: limits ?? [] };
}

/** A list of which every member is as it must be; a field with one that is not counts as absent. */
function listOf<T>(
  field: string | undefined,
  read: (item: Item) => T | undefined,
): readonly T[] | undefined {
  const members = field === undefined ? undefined : parseList(field);
  if (members === undefined || members.length === 0) return undefined;
  const found: T[] = [];
  for (const member of members) {
    const value = "item" in member ? read(member) : undefined;
    if (value === undefined) return undefined;
    found.push(value);
  }
  return found;
}

function policyOf({ item, parameters }: Item): QuotaPolicy | undefined {
  const quota = count(parameters.get("q"));
  const window = parameters.get("w");
  const windowSeconds = count(window);
  const unit = parameters.get("qu");
  const key = partitionKey(parameters);
  if (item.kind !== "string" || quota === undefined || key === undefined) return undefined;
  if (window !== undefined && !windowSeconds) return undefined;
  if (unit !== undefined && unit.kind !== "string") return undefined;
  return {
    name: item.value,
    quota,
    quotaUnit: unit?.value ?? DEFAULT_QUOTA_UNIT,
    ...(windowSeconds !== undefined && { windowSeconds }),
    ...key,
  };
}

function limitOf({ item, parameters }: Item): ServiceLimit | undefined {
  const remaining = count(parameters.get("r"));
  const window = parameters.get("t");
  const seconds = count(window);
  const key = partitionKey(parameters);
  if (item.kind !== "string" || remaining === undefined || key === undefined) return undefined;
  if (window !== undefined && seconds === undefined) return undefined;
  return {
    name: item.value,
    remaining,
    ...(seconds !== undefined && { resetAfterMs: safeMs(seconds * 1e3) }),
    ...key,
  };
}

/** undefined where there is a key that is none. */
function partitionKey(parameters: Parameters): { partitionKey?: Uint8Array } | undefined {
  const key = parameters.get("pk");
  if (key === undefined) return {};
  return key.kind === "bytes" ? { partitionKey: key.value } : undefined;
}

/** A non-negative integer. */
function count(item: BareItem | undefined): number | undefined {
  return item?.kind === "integer" && item.value >= 0 ? item.value : undefined;
}

/** Draft 07: `RateLimit: limit=100, remaining=50, reset=5` and `RateLimit-Policy: 100;w=60`. */
function readDictionary({ fields }: Answer): Limits | undefined {
  const dictionary = parseDictionary(fields.get("ratelimit") ?? "");
  const read = (name: string): number | undefined => countOf(dictionary?.get(name));
  const remaining = read("remaining");
  if (remaining === undefined) return undefined;
  const reset = read("reset");
  return unnamed({
    quota: read("limit"),
    policies: listOf(fields.get("ratelimit-policy"), unnamedPolicyOf) ?? [],
    remaining,
    resetAfterMs: reset === undefined ? undefined : safeMs(reset * 1e3),
  });
}

function countOf(member: Member | undefined): number | undefined {
  return member !== undefined && "item" in member ? count(member.item) : undefined;
}

/** A policy of drafts 01 to 07: `100;w=60`. */
function unnamedPolicyOf({ item, parameters }: Item): QuotaPolicy | undefined {
  const quota = count(item);
  const windowSeconds = count(parameters.get("w") ?? parameters.get("window"));
  if (quota === undefined) return undefined;
  return {
    name: UNNAMED,
    quota,
    quotaUnit: DEFAULT_QUOTA_UNIT,
    ...(windowSeconds && { windowSeconds }),
  };
}

/**
 * Drafts 00 to 06 and the custom before them: fields of their own for limit, remaining and reset. In
 * drafts 01 and 02 policies follow the limit in its field; from 03 on they have their own.
 */
function readSeparate({ fields, sentAtMs }: Answer, prefix: string): Limits | undefined {
  const remaining = decimal(fields.get(`${prefix}remaining`));
  if (remaining === undefined) return undefined;
  const [limit, ...policies] = listOf(fields.get(`${prefix}limit`), unnamedPolicyOf) ?? [];
  const resetAfter = decimal(fields.get(`${prefix}reset-after`));
  return unnamed({
    quota: limit?.quota,
    policies:
      policies.length > 0
        ? policies
        : (listOf(fields.get("ratelimit-policy"), unnamedPolicyOf) ?? []),
    remaining: Math.floor(remaining),
    resetAfterMs:
      resetAfter === undefined
        ? resetAfterMs(fields.get(`${prefix}reset`), sentAtMs)
        : safeMs(resetAfter * 1e3),
  });
}

const DECIMAL = /^\d{1,15}(?:\.\d{1,9})?$/;

function decimal(field: string | undefined): number | undefined {
  return field !== undefined && DECIMAL.test(field) ? Number(field) : undefined;
}

/** From here on a number of seconds is a date: as a span it would be longer than 31 years. */
const FIRST_EPOCH_SECONDS = 1e9;
/** From here on it is a date in milliseconds: in seconds it would lie beyond the year 5000. */
const FIRST_EPOCH_MS = 1e11;

/** Seconds to go, or a moment as seconds or milliseconds since the Unix epoch, or a date of HTTP. */
function resetAfterMs(field: string | undefined, sentAtMs: number): number | undefined {
  if (field === undefined) return undefined;
  const value = decimal(field);
  if (value === undefined) {
    const atMs = parseHttpDate(field, sentAtMs);
    return atMs === undefined ? undefined : safeMs(atMs - sentAtMs);
  }
  if (value < FIRST_EPOCH_SECONDS) return safeMs(value * 1e3);
  return safeMs((value < FIRST_EPOCH_MS ? value * 1e3 : value) - sentAtMs);
}

interface Unnamed {
  readonly quota: number | undefined;
  readonly policies: readonly QuotaPolicy[];
  readonly remaining: number;
  readonly resetAfterMs: number | undefined;
}

/** The policy that the quota belongs to comes first: the one limit is a limit of it. */
function unnamed({ quota, policies, remaining, resetAfterMs: after }: Unnamed): Limits {
  const own =
    policies.find((policy) => policy.quota === quota) ??
    (quota === undefined ? undefined : { name: UNNAMED, quota, quotaUnit: DEFAULT_QUOTA_UNIT });
  return {
    policies: own === undefined ? policies : [own, ...policies.filter((policy) => policy !== own)],
    limits: [{ name: UNNAMED, remaining, ...(after !== undefined && { resetAfterMs: after }) }],
  };
}

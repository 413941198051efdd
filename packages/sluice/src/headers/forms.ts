/** The four forms in which servers state their limits, each read by its own rule. */
import {
  DEFAULT_QUOTA_UNIT,
  type QuotaPolicy,
  type RateLimitForm,
  type ServiceLimit,
  UNNAMED,
} from "./rate-limit.js";
import { type SeparateLimit, separateLimits } from "./separate.js";
import type { BareItem, Item, Member, Parameters } from "./structured-field.js";
import { parseDictionary, parseList } from "./structured-parser.js";
import { safeMs } from "./waits.js";

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
  /** undefined if the answer does not have this form. */
  readonly read: (answer: Answer) => Limits | undefined;
}

/** In order of preference: an answer that has several forms is read by the first. */
export const FORMS: readonly Form[] = [
  { form: "draft-11", read: readLists },
  { form: "draft-07", read: readDictionary },
  { form: "draft-06", read: (answer) => readSeparate(answer, (owner) => owner === "") },
  { form: "x-ratelimit", read: (answer) => readSeparate(answer, (owner) => owner !== "") },
];

/** The fields that a form reads, besides those of separate limits. */
export const FORM_FIELDS: readonly string[] = ["ratelimit", "ratelimit-policy"];

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
  const seconds = number(window);
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

/** undefined if there is a malformed key. */
function partitionKey(parameters: Parameters): { partitionKey?: Uint8Array } | undefined {
  const key = parameters.get("pk");
  if (key === undefined) return {};
  return key.kind === "bytes" ? { partitionKey: key.value } : undefined;
}

/** What some servers write instead of a non-negative integer: a decimal, or a negative number. */
function number(item: BareItem | undefined): number | undefined {
  if (item?.kind !== "integer" && item?.kind !== "decimal") return undefined;
  return Math.max(0, item.value);
}

function count(item: BareItem | undefined): number | undefined {
  const value = number(item);
  return value === undefined ? undefined : Math.floor(value);
}

/** Draft 07: `RateLimit: limit=100, remaining=50, reset=5` and `RateLimit-Policy: 100;w=60`. */
function readDictionary({ fields }: Answer): Limits | undefined {
  const dictionary = parseDictionary(fields.get("ratelimit") ?? "");
  const read = (name: string): BareItem | undefined => itemOf(dictionary?.get(name));
  const remaining = count(read("remaining"));
  if (remaining === undefined) return undefined;
  const reset = number(read("reset"));
  return unnamed({
    quota: count(read("limit")),
    policies: listOf(fields.get("ratelimit-policy"), unnamedPolicyOf) ?? [],
    remaining,
    resetAfterMs: reset === undefined ? undefined : safeMs(reset * 1e3),
  });
}

function itemOf(member: Member | undefined): BareItem | undefined {
  return member !== undefined && "item" in member ? member.item : undefined;
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
 * Drafts 00 to 06, the custom before them, and the services' own: fields for limit, remaining and reset. In drafts 01
 * and 02 policies follow the limit in its field; from 03 on they have their own.
 */
function readSeparate(
  { fields, sentAtMs }: Answer,
  isOwner: (owner: string) => boolean,
): Limits | undefined {
  const found = separateLimits(fields, sentAtMs).filter(({ owner }) => isOwner(owner));
  if (found.length === 0) return undefined;
  const each = found.map((limit) =>
    limit.label === ""
      ? unnamed(unnamedOf(limit, fields.get("ratelimit-policy")))
      : named(limit, quotaIn(limit.limit)),
  );
  return {
    policies: each.flatMap(({ policies }) => policies),
    limits: each.flatMap(({ limits }) => limits),
  };
}

function unnamedOf(
  { limit, remaining, resetAfterMs }: SeparateLimit,
  policy: string | undefined,
): Unnamed {
  const [own, ...policies] = listOf(limit, unnamedPolicyOf) ?? [];
  return {
    quota: own?.quota,
    policies: policies.length > 0 ? policies : (listOf(policy, unnamedPolicyOf) ?? []),
    remaining,
    resetAfterMs,
  };
}

function quotaIn(limit: string | undefined): number | undefined {
  return listOf(limit, unnamedPolicyOf)?.[0]?.quota;
}

function named(
  { label: name, remaining, resetAfterMs }: SeparateLimit,
  quota: number | undefined,
): Limits {
  return {
    policies: quota === undefined ? [] : [{ name, quota, quotaUnit: DEFAULT_QUOTA_UNIT }],
    limits: [{ name, remaining, ...(resetAfterMs !== undefined && { resetAfterMs }) }],
  };
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

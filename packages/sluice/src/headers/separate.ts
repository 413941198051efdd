/**
 * Limits in separate fields: `X-RateLimit-Remaining` and `X-RateLimit-Reset`, and the names that services use if they have
 * several limits at once: `x-ratelimit-remaining-tokens`, `anthropic-ratelimit-tokens-remaining`.
 */
import { longestOf, numberIn, safeMs, spanMs, valuesIn, waitMsIn } from "./waits.js";

/** What a field says of its limit; the longer names come first, as a name is taken for the first that fits. */
const PARTS = [
  "reset-after",
  "reset-time",
  "resettime",
  "reset-ms",
  "reset-at",
  "reset",
  "remaining",
  "limit",
] as const;
type Part = (typeof PARTS)[number];

/** What surrounds the part: the owner, the words that say that it is about a limit, and which limit. */
const NAME = /^(?<owner>.*?)(?<words>rate-?limit|app-limit|user-limit)-(?<rest>.+)$/;

interface FieldName {
  /** "" for the drafts' fields, else "x-" or the service's own. */
  readonly owner: string;
  /** "" if there is only one. */
  readonly label: string;
  readonly part: Part;
}

/** undefined if a field, named in lower case, is not one of a limit. */
function limitFieldOf(name: string): FieldName | undefined {
  const { owner = "", words = "", rest = "" } = NAME.exec(name)?.groups ?? {};
  const part = PARTS.find(
    (known) => rest === known || rest.startsWith(`${known}-`) || rest.endsWith(`-${known}`),
  );
  if (part === undefined) return undefined;
  const label = rest.startsWith(part)
    ? rest.slice(part.length + 1)
    : rest.slice(0, -part.length - 1);
  const isRate = words.startsWith("rate");
  return { owner: isRate ? owner : `${owner}${words}-`, label, part };
}

export function isLimitField(name: string): boolean {
  return limitFieldOf(name) !== undefined;
}

/** A limit as its fields state it. */
export interface SeparateLimit {
  readonly owner: string;
  readonly label: string;
  /** The text of the field for the limit itself. */
  readonly limit: string | undefined;
  readonly remaining: number;
  readonly resetAfterMs: number | undefined;
}

/**
 * All limits whose remaining quota is known, in their order. Of one that appears twice, as
 * x-ratelimit- and as x-rate-limit-, the first spelling counts.
 */
export function separateLimits(
  fields: ReadonlyMap<string, string>,
  sentAtMs: number,
): readonly SeparateLimit[] {
  const limits = new Map<string, Map<Part, string>>();
  const names: { owner: string; label: string }[] = [];
  for (const [name, text] of [...fields].toSorted(bySpelling)) {
    const field = limitFieldOf(name);
    if (field === undefined) continue;
    const { owner, label, part } = field;
    const key = `${owner} ${label}`;
    const parts = limits.get(key) ?? new Map<Part, string>();
    if (!limits.has(key)) names.push({ owner, label });
    limits.set(key, parts);
    if (!parts.has(part)) parts.set(part, text);
  }
  return names.flatMap(({ owner, label }) => {
    const parts = limits.get(`${owner} ${label}`) ?? new Map<Part, string>();
    return limitIn(owner, label, parts, sentAtMs);
  });
}

const isRateHyphenated = (name: string): number => (name.includes("rate-limit") ? 1 : 0);

function bySpelling([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return isRateHyphenated(a) - isRateHyphenated(b);
}

function limitIn(
  owner: string,
  label: string,
  parts: ReadonlyMap<Part, string>,
  sentAtMs: number,
): readonly SeparateLimit[] {
  const limit = parts.get("limit");
  const remaining = leastIn(parts.get("remaining"));
  // A limit of -1 is none.
  if (remaining === undefined || (leastIn(limit) ?? 0) < 0) return [];
  return [
    {
      owner,
      label,
      limit,
      remaining: Math.max(0, Math.floor(remaining)),
      resetAfterMs: resetMsIn(parts, sentAtMs),
    },
  ];
}

/** The least of a field's numbers, each without its parameters: `76;w=21600`. */
function leastIn(field: string | undefined): number | undefined {
  if (field === undefined) return undefined;
  const numbers = valuesIn(field).flatMap((value) => numberIn(withoutParameters(value)) ?? []);
  return numbers.length === 0 ? undefined : Math.min(...numbers);
}

function withoutParameters(value: string): string {
  const [bare = ""] = value.split(";", 1);
  return bare.trim();
}

/** In order of preference: what needs no clock, then moments. */
const RESETS: readonly (readonly [
  Part,
  (value: string, sentAtMs: number) => number | undefined,
])[] = [
  ["reset-after", (value) => spanMs(value)],
  ["reset-ms", millisecondsOrMoment],
  ["reset", waitMsIn],
  ["reset-time", waitMsIn],
  ["resettime", waitMsIn],
  ["reset-at", waitMsIn],
];

function millisecondsOrMoment(value: string, sentAtMs: number): number | undefined {
  const ms = waitMsIn(value, sentAtMs);
  const number = numberIn(value);
  // Below the moments it is a span, which was taken for seconds.
  return number !== undefined && number >= 0 && number < 1e9 ? safeMs(number) : ms;
}

function resetMsIn(parts: ReadonlyMap<Part, string>, sentAtMs: number): number | undefined {
  for (const [part, read] of RESETS) {
    const ms = longestOf(parts.get(part), (value) => read(withoutParameters(value), sentAtMs));
    if (ms !== undefined) return ms;
  }
  return undefined;
}

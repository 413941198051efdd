/** How servers write how long to wait: seconds, durations, and moments as numbers or as dates. */
import { parseHttpDate } from "./http-date.js";

/** Whole milliseconds, rounded up, that a double still counts exactly. */
export function safeMs(ms: number): number {
  return Math.min(Math.max(Math.ceil(ms), 0), Number.MAX_SAFE_INTEGER);
}

/** Longer values cannot be a number, date or duration. */
const MAX_CHARACTERS = 400;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?$/i;

/** A number in digits, with a fraction or an exponent or not, or undefined. */
export function numberIn(text: string): number | undefined {
  return text.length <= MAX_CHARACTERS && NUMBER.test(text) ? Number(text) : undefined;
}

/** As above, and not negative. */
export function amountIn(text: string): number | undefined {
  return text.startsWith("-") ? undefined : numberIn(text);
}

const UNITS_MS: ReadonlyMap<string, number> = new Map(
  (
    [
      [1e-6, ["ns", "nsec", "nanosecond"]],
      [1e-3, ["us", "µs", "μs", "usec", "microsecond"]],
      [1, ["ms", "msec", "millisecond", "milli"]],
      [1e3, ["s", "sec", "second"]],
      [60e3, ["m", "min", "minute"]],
      [3600e3, ["h", "hr", "hrs", "hour"]],
      [86_400e3, ["d", "day"]],
    ] as const
  ).flatMap(([ms, names]) => {
    // An s behind the shorter ones would make another of them: ms.
    const plurals = names.filter((name) => name.length > 2).map((name) => `${name}s`);
    return [...names, ...plurals].map((name) => [name, ms] as const);
  }),
);

/** `6m0s`, `1h2m3.5s`, `120ms`, `30 seconds`; and PT6M of ISO 8601. Milliseconds, or undefined. */
function durationMs(text: string): number | undefined {
  const plain = text.toLowerCase();
  // In ISO 8601 an M before the T is a month.
  const iso = /^p(?:(\d+d))?(?:t([\d.hms]+))?$/.exec(plain);
  const spans = iso === null ? plain : `${iso[1] ?? ""}${iso[2] ?? ""}`;
  const span = /\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zµμ]+)\s*/gy;
  let totalMs: number | undefined;
  for (let end = 0; end < spans.length; end = span.lastIndex) {
    const [, amount, unit = ""] = span.exec(spans) ?? [];
    const unitMs = UNITS_MS.get(unit);
    if (unitMs === undefined) return undefined;
    totalMs = (totalMs ?? 0) + Number(amount) * unitMs;
  }
  return totalMs;
}

/** Seconds as a number, or a duration: milliseconds, or undefined. */
export function spanMs(text: string): number | undefined {
  const seconds = amountIn(text);
  if (seconds !== undefined) return safeMs(seconds * 1e3);
  const ms = text.length <= MAX_CHARACTERS ? durationMs(text) : undefined;
  return ms === undefined ? undefined : safeMs(ms);
}

/** From here on a number of seconds is a date: as a span it would be longer than 31 years. */
export const FIRST_EPOCH_SECONDS = 1e9;
/** The bounds up to which numbers count seconds, milliseconds, microseconds and nanoseconds: to the year 5138 in each. */
const EPOCH_UNITS_MS: readonly (readonly [below: number, unitMs: number])[] = [
  [1e11, 1e3],
  [1e14, 1],
  [1e17, 1e-3],
  [1e20, 1e-6],
];

/** The moment that a number means: milliseconds since the Unix epoch, or undefined if it is a span. */
function epochMs(value: number): number | undefined {
  if (value < FIRST_EPOCH_SECONDS) return undefined;
  const [, unitMs] = EPOCH_UNITS_MS.find(([below]) => value < below) ?? [];
  return unitMs === undefined ? undefined : value * unitMs;
}

/** A moment further back cannot be meant by a field that asks to wait. */
const LONGEST_PAST_MS = 86_400e3;

/**
 * How long to wait, in whatever form: milliseconds after `sentAtMs`, 0 for a moment that has passed, or undefined if the
 * text cannot be read.
 *
 * @param isRequest whether the text asks to wait, as Retry-After does: then a number that would be a moment long ago
 *   is a very long span instead
 */
export function waitMsIn(text: string, sentAtMs: number, isRequest = false): number | undefined {
  const bare = text.replace(/^"(.*)"$/, "$1");
  const value = amountIn(bare);
  if (value === undefined) {
    const atMs = parseHttpDate(bare, sentAtMs);
    return atMs === undefined ? spanMs(bare) : safeMs(atMs - sentAtMs);
  }
  const atMs = epochMs(value);
  const isSpan = atMs === undefined || (isRequest && atMs < sentAtMs - LONGEST_PAST_MS);
  return isSpan ? safeMs(value * 1e3) : safeMs(atMs - sentAtMs);
}

const WEEKDAY = /^\s*(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\s*$/i;

/**
 * The values of a field that is written in several lines, which arrive joined by commas. The comma behind a weekday is part
 * of a date.
 */
export function valuesIn(field: string): readonly string[] {
  const values: string[] = [];
  let weekday = "";
  for (const part of field.split(",")) {
    if (WEEKDAY.test(part)) {
      weekday = `${part},`;
      continue;
    }
    values.push(`${weekday}${part}`.trim());
    weekday = "";
  }
  return values;
}

/** The longest wait that the values of a field ask for, as `read` reads each. */
export function longestOf(
  field: string | undefined,
  read: (value: string) => number | undefined,
): number | undefined {
  if (field === undefined) return undefined;
  const waits = valuesIn(field)
    .map(read)
    .filter((ms) => ms !== undefined);
  return waits.length === 0 ? undefined : Math.max(...waits);
}

/** Durations: callers write milliseconds or text such as "1h30m"; everything inside is integer microseconds. */
import { InvalidOptionError } from "./errors.js";

/** What a number in a duration counts: microseconds, milliseconds, seconds, minutes, hours or days of 24 hours. */
export type DurationUnit = "us" | "ms" | "s" | "m" | "h" | "d";

/**
 * Milliseconds as a number (fractions down to a microsecond), or text: one or more whole or decimal
 * numbers, each with a unit of `us`, `ms`, `s`, `m`, `h` or `d`, as in `"250us"`, `"1.5s"`, `"1h30m"`.
 */
export type Duration = number | `${number}${DurationUnit}` | (string & {});

const MICROSECONDS: Readonly<Record<DurationUnit, number>> = {
  us: 1,
  ms: 1e3,
  s: 1e6,
  m: 60e6,
  h: 3600e6,
  d: 86_400e6,
};

/** A hundred years of 365.25 days: no span of time in Sluice is longer. */
export const CENTURY_US = 36_525 * 86_400e6;
/** 366 days, the longest period or window. */
export const MAX_PERIOD_US = 366 * 86_400e6;
/** 1 ms, the shortest period or window. */
export const MIN_PERIOD_US = 1e3;

const LONGEST_TEXT = 64;
const PART = /(\d+(?:\.\d+)?)(us|ms|s|m|h|d)/y;

/** A duration in integer microseconds, or an InvalidOptionError that names `option`. */
export function toMicroseconds(
  option: string,
  duration: unknown,
  minimumUs = 0,
  maximumUs = CENTURY_US,
): number {
  const us = typeof duration === "number" ? duration * 1e3 : parse(duration);
  const whole = Math.round(us);
  if (whole >= minimumUs && whole <= maximumUs && isWhole(us, whole)) return whole;
  throw new InvalidOptionError(
    option,
    duration,
    `a duration from ${spanInWords(minimumUs)} to ${spanInWords(maximumUs)} in whole microseconds, ` +
      'as milliseconds or as text such as "250ms", "10s", "1h30m"',
    { hint: durationHint(duration, (meantUs) => meantUs >= minimumUs && meantUs <= maximumUs) },
  );
}

/**
 * A duration in milliseconds, checked as every option that takes one is; fractions go down to a microsecond.
 *
 * @param option what the error calls it; default "duration"
 * @throws InvalidOptionError unless it is one of 0 to 100 years, in whole microseconds
 * @example
 * import { durationMs } from "sluice";
 * console.log(durationMs("1h30m")); // 5400000
 */
export function durationMs(duration: Duration, option = "duration"): number {
  return toMicroseconds(option, duration) / 1e3;
}

/** How people write units that are not ours. */
const UNIT_NAMES: readonly (readonly [RegExp, DurationUnit])[] = [
  [/^(us|µs|μs|mics?|micros?|microseconds?)$/, "us"],
  [/^(ms|msecs?|millis?|milliseconds?)$/, "ms"],
  [/^(s|secs?|seconds?)$/, "s"],
  [/^(m|mins?|minutes?)$/, "m"],
  [/^(h|hrs?|hours?)$/, "h"],
  [/^(d|days?)$/, "d"],
];

/** What a caller probably meant by `1 min`, `60` or 60 for 60 s. */
function durationHint(duration: unknown, fits: (us: number) => boolean): string | undefined {
  if (typeof duration === "number") {
    const isSeconds = Number.isInteger(duration) && duration > 0 && fits(duration * 1e6);
    return isSeconds ? `a number is milliseconds; did you mean "${duration}s"?` : undefined;
  }
  if (typeof duration !== "string" || duration.length > LONGEST_TEXT) return undefined;
  const text = duration.toLowerCase().replaceAll(/[\s,_]|and/g, "");
  if (/^\d+(\.\d+)?$/.test(text)) {
    const meant = [`"${text}s"`, `${text} for milliseconds`];
    const usOf = [Number(text) * 1e6, Number(text) * 1e3];
    const fitting = meant.filter((_, i) => fits(usOf[i] as number));
    return fitting.length > 0 ? `did you mean ${fitting.join(" or ")}?` : undefined;
  }
  const parts = [...text.matchAll(/([\d.]+)([a-zµμ]+)/g)];
  if (parts.map(([part]) => part).join("") !== text) return undefined;
  const meant = parts.map(([, count = "", unit = ""]) => count + unitOf(unit)).join("");
  return fits(parse(meant)) ? `did you mean "${meant}"?` : undefined;
}

function unitOf(name: string): string {
  return UNIT_NAMES.find(([names]) => names.test(name))?.[1] ?? "";
}

const SPANS: readonly (readonly [number, string])[] = [
  [365.25 * 86_400e6, "year"],
  [86_400e6, "day"],
  [3600e6, "hour"],
  [60e6, "minute"],
  [1e6, "s"],
  [1e3, "ms"],
];

/** In the largest unit of which it is a whole number, because 31,622,400,000 ms is unreadable. */
function spanInWords(us: number): string {
  for (const [unitUs, unit] of SPANS) {
    const count = us / unitUs;
    if (count < 1 || !Number.isInteger(count)) continue;
    return `${count} ${unit}${count > 1 && unit.length > 2 ? "s" : ""}`;
  }
  return us === 0 ? "0" : `${us} µs`;
}

/** Multiplying by a thousand costs a double a few last bits; a stray digit far below 1 µs is not the caller's. */
function isWhole(us: number, whole: number): boolean {
  return Math.abs(us - whole) <= Math.max(1e-6, Math.abs(whole) * Number.EPSILON * 2);
}

function parse(text: unknown): number {
  if (typeof text !== "string" || text.length === 0 || text.length > LONGEST_TEXT) {
    return Number.NaN;
  }
  let us = 0;
  PART.lastIndex = 0;
  while (PART.lastIndex < text.length) {
    const part = PART.exec(text);
    if (part === null) return Number.NaN;
    us += Number(part[1]) * MICROSECONDS[part[2] as DurationUnit];
  }
  return us;
}

/** Durations: callers write milliseconds or text such as "1h30m"; everything inside is integer microseconds. */
import { InvalidOptionError } from "./errors.js";

type DurationUnit = "us" | "ms" | "s" | "m" | "h" | "d";

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
    `a duration from ${minimumUs / 1e3} ms to ${maximumUs / 1e3} ms in whole microseconds, ` +
      'as milliseconds or as text such as "250ms", "10s", "1h30m"',
  );
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

/** Numbers, times and durations as the page prints them, each with its unit. */

const compactNumber = new Intl.NumberFormat("en", {
  notation: "compact",
  maximumFractionDigits: 1,
});
const wholeNumber = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A number of events: "1,204". */
export const count = (value: number): string => wholeNumber.format(value);

/** A rate, without its unit: "0", "<0.1", "3.2", "310", "12.4k". */
export function rate(perSecond: number): string {
  if (perSecond <= 0) return "0";
  if (perSecond < 0.05) return "<0.1";
  if (perSecond < 10) return String(Math.round(perSecond * 10) / 10);
  if (perSecond < 999.5) return wholeNumber.format(perSecond);
  return compactNumber.format(Math.round(perSecond)).replace("K", "k");
}

/** A share: "0 %", "<0.1 %", "2.4 %"; 100 only if nothing is missing. */
export function share(part: number, whole: number): string {
  if (part <= 0 || whole <= 0) return "0 %";
  const percent = (part / whole) * 100;
  if (percent < 0.05) return "<0.1 %";
  const rounded = Math.round(percent * 10) / 10;
  return `${rounded >= 100 && part < whole ? 99.9 : rounded} %`;
}

/** Milliseconds, with one decimal if it matters: "0.8 ms", "12 ms". */
export function latency(ms: number | undefined): string {
  if (ms === undefined) return "–";
  if (ms >= 999.5) return duration(ms);
  return `${ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms)} ms`;
}

/** A size in memory: "812 B", "4.2 kB", "1.3 MB". */
export function size(bytes: number): string {
  const names = ["B", "kB", "MB", "GB"];
  // What would be rounded to 1000 of a unit is 1 of the next.
  const thousands = Math.log10(Math.max(bytes, 1) / 0.9995) / 3;
  const power = Math.min(Math.floor(thousands), names.length - 1);
  const value = bytes / 1000 ** power;
  return `${value < 10 && power > 0 ? Math.round(value * 10) / 10 : Math.round(value)} ${names[power]}`;
}

const UNITS: readonly (readonly [ms: number, name: string])[] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1000, "s"],
];

/** A time that passes: "120 ms", "1.2 s", "45 s", "3 min 20 s", "2 d 4 h". */
export function duration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${Math.round(ms / 100) / 10} s`;
  const seconds = Math.round(ms / 1000) * 1000;
  const first = UNITS.findIndex(([unit]) => seconds >= unit);
  const parts: string[] = [];
  let rest = seconds;
  for (const [unit, name] of UNITS.slice(first, first + 2)) {
    const whole = Math.floor(rest / unit);
    if (whole > 0) parts.push(`${whole} ${name}`);
    rest -= whole * unit;
  }
  return parts.join(" ");
}

const two = (value: number): string => String(value).padStart(2, "0");

/** A time of day in the visitor's time zone: "14:02:11". */
export function clock(atMs: number): string {
  const date = new Date(atMs);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The same, with the date if that is not today's. */
export function moment(atMs: number, nowMs: number): string {
  const date = new Date(atMs);
  if (date.toDateString() === new Date(nowMs).toDateString()) return clock(atMs);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(atMs)}`;
}

/** "1 key", "2 keys". */
export const counted = (number: number, noun: string): string =>
  `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

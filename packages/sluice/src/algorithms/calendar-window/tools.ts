/** The calendar window for the audit, the command line and the tests. */
import type { Window } from "../bound.js";
import { LIMIT, textField } from "../fields.js";
import { RATES } from "../random-policy.js";
import type { AlgorithmTools } from "../tools.js";
import { calendarBoundaries } from "./calendar.js";
import { calendarWindowCases } from "./cases.js";
import { calendarWindow, calendarWindowAlgorithm, type CalendarWindowPolicy } from "./policy.js";

const ZONES = ["UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu"];

/** In ms; of the longest month and year not quite. */
const SPANS = {
  minute: 60e3,
  hour: 3600e3,
  day: 86_400e3,
  week: 7 * 86_400e3,
  month: 30 * 86_400e3,
  year: 365 * 86_400e3,
} as const;

export const calendarWindowTools: AlgorithmTools<CalendarWindowPolicy> = {
  algorithm: calendarWindowAlgorithm,
  isMonotone: () => true,
  bound: (policy) => ({
    kind: "windows",
    limit: policy.limit,
    name: () => `calendar ${policy.unit} (${policy.timeZone})`,
    windowOf: (atUs) => unitOf(policy, atUs),
  }),
  describe({ limit, unit, timeZone, weekStartsOn }, { number }) {
    const week = unit === "week" ? `, weeks from ${weekStartsOn}` : "";
    return `${number(limit)} in each calendar ${unit}, ${timeZone}${week}`;
  },
  fields: [
    LIMIT,
    textField("unit", "UNIT", "minute, hour, day, week, month or year"),
    textField("time-zone", "ZONE", "an IANA zone (default UTC)", "timeZone"),
    textField("week-starts-on", "DAY", "a day's name (default monday)", "weekStartsOn"),
  ],
  spanMs: ({ unit }) => SPANS[unit],
  randomPolicy: (random, name) =>
    calendarWindow({
      name,
      limit: random.pick(RATES)[0],
      unit: random.pick(["minute", "hour", "day", "week", "month", "year"] as const),
      timeZone: random.pick(ZONES),
      weekStartsOn: random.pick(["monday", "sunday"] as const),
    }),
  cases: { "calendar window": calendarWindowCases },
};

function unitOf(policy: CalendarWindowPolicy, atUs: number): Window {
  const boundaries = calendarBoundaries(policy, atUs);
  const next = boundaries.findIndex((boundary) => boundary > atUs);
  const [fromUs, toUs] = [boundaries[next - 1], boundaries[next]];
  if (fromUs === undefined || toUs === undefined) {
    throw new RangeError(`no calendar ${policy.unit} holds ${atUs} µs since the epoch`);
  }
  return { fromUs, toUs };
}

/** The calendar window's worked examples; calendar.test.ts tests where its windows begin. */
import { type AlgorithmCase, allows, denies, neverFits } from "../case-table.js";
import { fixedWindow } from "../fixed-window/policy.js";
import { calendarWindow } from "./policy.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const name = "p";
const berlinDay = calendarWindow({ name, limit: 5, unit: "day", timeZone: "Europe/Berlin" });
const utcDay = calendarWindow({ name, limit: 5, unit: "day" });
const sundayWeek = calendarWindow({ name, limit: 5, unit: "week", weekStartsOn: "sunday" });
const utcMonth = calendarWindow({ name, limit: 5, unit: "month" });

export const calendarWindowCases: readonly AlgorithmCase[] = [
  {
    name: "a day of Berlin ends at its midnight",
    policy: berlinDay,
    steps: [
      { at: 0, cost: 5, says: allows(0, 23 * HOUR) },
      { at: 0, says: denies(23 * HOUR, 0, 23 * HOUR) },
      { at: 23 * HOUR - 0.001, says: denies(1) },
      { at: 23 * HOUR, says: allows(4, DAY) },
    ],
  },
  {
    name: "the day on which the clocks go forward has 23 hours",
    policy: berlinDay,
    startMs: Date.UTC(2030, 2, 30, 23),
    steps: [
      { at: 0, cost: 5, says: allows(0, 23 * HOUR) },
      { at: 23 * HOUR - 0.001, says: denies(1) },
      { at: 23 * HOUR, says: allows(4, DAY) },
    ],
  },
  {
    name: "the day on which the clocks go back has 25 hours",
    policy: berlinDay,
    startMs: Date.UTC(2030, 9, 26, 22),
    steps: [
      { at: 0, cost: 5, says: allows(0, 25 * HOUR) },
      { at: 24 * HOUR, says: denies(HOUR) },
      { at: 25 * HOUR, says: allows(4, DAY) },
    ],
  },
  {
    name: "a week begins on Monday",
    policy: calendarWindow({ limit: 5, unit: "week" }),
    steps: [{ at: 0, says: allows(4, 6 * DAY) }],
  },
  {
    name: "a week begins on Sunday if the policy says so",
    policy: calendarWindow({ limit: 5, unit: "week", weekStartsOn: "sunday" }),
    steps: [{ at: 0, says: allows(4, 5 * DAY) }],
  },
  {
    name: "months have their own lengths, leap years too",
    policy: utcMonth,
    startMs: Date.UTC(2028, 0, 31, 12),
    steps: [
      { at: 0, cost: 5, says: allows(0, DAY / 2) },
      { at: DAY / 2, cost: 5, says: allows(0, 29 * DAY) },
      { at: DAY / 2 + 29 * DAY, says: allows(4, 31 * DAY) },
    ],
  },
  {
    name: "minutes, hours and years",
    policy: [
      calendarWindow({ name: "minute", limit: 1, unit: "minute" }),
      calendarWindow({ name: "hour", limit: 2, unit: "hour" }),
      calendarWindow({ name: "year", limit: 3, unit: "year" }),
    ],
    startMs: Date.UTC(2030, 11, 31, 22, 57, 30),
    steps: [
      { at: 0, says: { allowed: true, policy: "minute", resetAfterMs: 30_000 } },
      { at: 0, says: { ...denies(30_000), policy: "minute" } },
      { at: 30_000, says: { allowed: true } },
      { at: 90_000, says: { ...denies(60_000), policy: "hour" } },
      { at: 150_000, says: { allowed: true } },
      { at: 210_000, says: { ...denies(HOUR - 60_000), policy: "year" } },
      { at: HOUR + 150_000, says: { allowed: true } },
    ],
  },
  {
    name: "a penalty's debt is forgiven at the boundary; a refund reopens nothing before it",
    policy: utcDay,
    steps: [
      { at: HOUR, verb: "penalize", cost: 8, says: denies(23 * HOUR, 0, 23 * HOUR) },
      { at: HOUR, verb: "refund", cost: 4, says: allows(1, 23 * HOUR) },
      { at: HOUR, verb: "refund", cost: 4, says: allows(5, 0) },
      { at: HOUR, cost: 6, says: neverFits(5, 0) },
      { at: HOUR, cost: 0, says: allows(5, 0) },
      { at: DAY, cost: 5, says: allows(0, DAY) },
    ],
  },
  {
    name: "a clock that goes back over midnight stays in the day it has seen",
    policy: utcDay,
    steps: [
      { at: DAY, cost: 5, says: allows(0, DAY) },
      { at: DAY - HOUR, says: { ...denies(DAY + HOUR), decidedAt: DAY } },
      { at: DAY - HOUR, verb: "refund", cost: 5, says: allows(5, 0) },
      { at: DAY - HOUR, cost: 5, says: { ...allows(0, HOUR), decidedAt: DAY - HOUR } },
    ],
  },
  {
    name: "changed options: a day's stored end rules when the unit becomes a month",
    policy: utcDay,
    steps: [
      { at: HOUR, cost: 5, says: allows(0, 23 * HOUR) },
      { at: 2 * HOUR, policy: utcMonth, says: denies(22 * HOUR, 0, 22 * HOUR) },
      { at: DAY, policy: utcMonth, says: allows(4, 30 * DAY) },
    ],
  },
  {
    name: "changed options: a month's stored end rules when the unit becomes a day",
    policy: utcMonth,
    steps: [
      { at: 0, cost: 5, says: allows(0, 31 * DAY) },
      { at: 3 * DAY, policy: utcDay, says: denies(28 * DAY) },
      { at: 31 * DAY, policy: utcDay, says: allows(4, DAY) },
    ],
  },
  {
    name: "changed options: the stored end rules when the time zone changes",
    policy: berlinDay,
    steps: [
      { at: 0, cost: 5, says: allows(0, 23 * HOUR) },
      { at: HOUR, policy: utcDay, says: denies(22 * HOUR) },
      { at: 23 * HOUR, policy: utcDay, says: allows(4, HOUR) },
    ],
  },
  {
    name: "changed options: the stored end rules when the week begins on another day",
    policy: calendarWindow({ name, limit: 5, unit: "week" }),
    steps: [
      { at: 0, cost: 5, says: allows(0, 6 * DAY) },
      { at: 5 * DAY, policy: sundayWeek, says: denies(DAY, 0, DAY) },
      { at: 6 * DAY, policy: sundayWeek, says: allows(4, 6 * DAY) },
    ],
  },
  {
    name: "changed options: another limit counts against the same window",
    policy: utcDay,
    steps: [
      { at: 0, cost: 5, says: allows(0) },
      { at: 0, policy: calendarWindow({ name, limit: 7, unit: "day" }), says: allows(1, DAY) },
      { at: 0, policy: calendarWindow({ name, limit: 2, unit: "day" }), says: denies(DAY) },
    ],
  },
  {
    name: "changed options: a fixed window is another key",
    policy: utcDay,
    steps: [
      { at: 0, cost: 5, says: allows(0) },
      { at: 0, policy: fixedWindow({ name, limit: 5, window: "1d" }), says: allows(4, DAY) },
    ],
  },
];

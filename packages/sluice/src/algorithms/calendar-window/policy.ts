/** The calendar window as a policy: a quota for each day, week or month of a calendar. */
import { UNIT } from "../../core/amount.js";
import { InvalidOptionError } from "../../core/errors.js";
import { checkChoice } from "../../core/options.js";
import { type Algorithm, type PolicyBase, PolicyReader, type VoteOption } from "../algorithm.js";
import { type CalendarUnit, calendarBoundaries, isTimeZone, type Weekday } from "./calendar.js";
import { type CalendarParams, calendarWindowKernel } from "./kernel.js";

const UNITS = ["minute", "hour", "day", "week", "month", "year"] as const;
const WEEKDAYS = [
  "monday",
  "tuesday",
  "wednesday",
  "thursday",
  "friday",
  "saturday",
  "sunday",
] as const;

/** Options of `calendarWindow`. */
export interface CalendarWindowOptions extends VoteOption {
  /** Units a calendar unit: 0 to 1e9, in whole thousandths; 0 admits nothing. */
  readonly limit: number;
  /** The length of a window, by the calendar of the zone. */
  readonly unit: CalendarUnit;
  /** An IANA zone such as "Europe/Berlin"; default "UTC". */
  readonly timeZone?: string | undefined;
  /** The first day of a window of a week; default "monday". */
  readonly weekStartsOn?: Weekday | undefined;
  /** Part of the key in the store: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "calendar-window". */
  readonly name?: string | undefined;
}

/** What `calendarWindow` returns: at most `limit` units a calendar unit. */
export interface CalendarWindowPolicy extends PolicyBase {
  /** The algorithm's id. */
  readonly algorithm: "calendar-window";
  /** Units a period or window: 0 to 1e9 in whole thousandths. */
  readonly limit: number;
  /** The calendar unit after which the count starts again. */
  readonly unit: CalendarUnit;
  /** The IANA time zone of the calendar, such as "Europe/Berlin". */
  readonly timeZone: string;
  /** The day on which weeks begin. */
  readonly weekStartsOn: Weekday;
}

function checkTimeZone(option: string, value: unknown): string {
  if (typeof value === "string" && isTimeZone(value)) return value;
  throw new InvalidOptionError(option, value, 'an IANA time zone such as "Europe/Berlin"');
}

/** The length of the window that holds `nowUs`; undefined if the table does not reach that far. */
function lengthMs(boundaries: readonly number[], nowUs: number): number | undefined {
  const next = boundaries.findIndex((boundary) => boundary > nowUs);
  if (next <= 0) return undefined;
  const [fromUs, toUs] = boundaries.slice(next - 1, next + 1) as [number, number];
  return Math.ceil((toUs - fromUs) / 1e3);
}

export const calendarWindowAlgorithm: Algorithm<CalendarWindowPolicy> = {
  id: "calendar-window",
  parse(options, path) {
    const known = ["limit", "unit", "timeZone", "weekStartsOn"];
    const read = new PolicyReader("calendar-window", options, path, known);
    return read.finished({
      algorithm: "calendar-window",
      name: read.name("calendar-window"),
      limit: read.limit(),
      unit: read.other("unit", undefined, (option, value) => checkChoice(option, value, UNITS)),
      timeZone: read.other("timeZone", "UTC", checkTimeZone),
      weekStartsOn: read.other("weekStartsOn", "monday", (option, value) =>
        checkChoice(option, value, WEEKDAYS),
      ),
    } as const);
  },
  compile(policy) {
    const params: CalendarParams = { capacity: Math.round(policy.limit * UNIT), boundaries: [] };
    return {
      kernel: calendarWindowKernel,
      params,
      windowMs: 0,
      windowMsAt: (nowUs) =>
        lengthMs(params.boundaries, nowUs) ??
        lengthMs(calendarBoundaries(policy, nowUs), nowUs) ??
        0,
      byWallClock: true,
      refresh(nowUs: number): void {
        // One window of slack on the near side of the table's end keeps a fast server clock covered.
        const { boundaries } = params;
        const covered =
          nowUs >= (boundaries[1] ?? Number.POSITIVE_INFINITY) && nowUs < (boundaries.at(-2) ?? 0);
        if (!covered) params.boundaries = calendarBoundaries(policy, nowUs);
      },
    };
  },
};

/**
 * At most `limit` units in each calendar unit of an IANA zone, daylight saving time included. Days and
 * longer begin at the first instant of their local date; minutes and hours at each local whole unit and
 * at each transition of the zone.
 *
 * @throws InvalidOptionError
 * @example
 * import { calendarWindow, RateLimiter } from "sluice";
 * const limiter = new RateLimiter({
 *   policy: calendarWindow({ limit: 1000, unit: "month", timeZone: "Europe/Berlin" }),
 * });
 * const decision = await limiter.consume("customer:7");
 * console.log(decision.remaining); // 999
 */
export function calendarWindow(options: CalendarWindowOptions): CalendarWindowPolicy {
  return calendarWindowAlgorithm.parse(options, "");
}

/**
 * Where the minutes, hours, days, weeks, months and years of a time zone begin.
 *
 * Every zone transition falls on a whole second, so all work is in whole seconds and only
 * `calendarBoundaries` speaks µs. A "local" second is the one a clock on UTC would be at when it
 * shows what the zone's clock shows: local = UTC + offset. Days are counted from 1970-01-01.
 */

export type CalendarUnit = "minute" | "hour" | "day" | "week" | "month" | "year";

/** The first day of a calendar week. */
export type Weekday =
  | "sunday"
  | "monday"
  | "tuesday"
  | "wednesday"
  | "thursday"
  | "friday"
  | "saturday";

export interface CalendarSpec {
  readonly unit: CalendarUnit;
  /** An IANA name, such as `"Europe/Paris"`; see {@link isTimeZone}. */
  readonly timeZone: string;
  /** Read by the unit `"week"` alone. */
  readonly weekStartsOn: Weekday;
}

type DateUnit = Exclude<CalendarUnit, "minute" | "hour">;
type OffsetAt = (atSec: number) => number;

/** [fromSec, toSec), in which the zone keeps one offset. */
interface Stretch {
  readonly fromSec: number;
  readonly toSec: number;
  readonly offsetSec: number;
}

const SECOND_US = 1_000_000;
const SECOND_MS = 1000;
const MINUTE_SEC = 60;
const HOUR_SEC = 3600;
const DAY_SEC = 86_400;
const DAY_MS = DAY_SEC * SECOND_MS;

/** In the order of the calendar's first days: 1970-01-01 was a Thursday. */
const WEEKDAYS: readonly Weekday[] = [
  "thursday",
  "friday",
  "saturday",
  "sunday",
  "monday",
  "tuesday",
  "wednesday",
];

/**
 * Two transitions within one step could cancel out unseen; the nearest two that the tz database
 * holds for any zone are almost 4 days apart (Freetown in 1939).
 */
const SCAN_STEP_SEC = DAY_SEC;

/**
 * How many windows more than asked are looked at on each side: one because the zone may have
 * crossed a date line and skipped a date, one because a clock set back over midnight shows the date
 * before the one that has begun, and one because the last window needs an end.
 */
const SPARE_WINDOWS = 3;

/** How the windows of a unit are numbered: `firstDayOf` inverts `windowOf`. */
interface Numbering {
  /** The window that a local day is in. */
  windowOf(this: void, day: number, weekStart: number): number;
  /** The first local day of a window. */
  firstDayOf(this: void, window: number, weekStart: number): number;
}

// Months and years run on from 1970, because Date.UTC takes the years 0 to 99 for 1900 to 1999.
const NUMBERINGS: Readonly<Record<DateUnit, Numbering>> = {
  day: {
    windowOf: (day) => day,
    firstDayOf: (window) => window,
  },
  week: {
    windowOf: (day, weekStart) => Math.floor((day - weekStart) / 7),
    firstDayOf: (window, weekStart) => window * 7 + weekStart,
  },
  month: {
    windowOf: (day) => yearsSince1970(day) * 12 + new Date(day * DAY_MS).getUTCMonth(),
    firstDayOf: (window) => Date.UTC(1970, window, 1) / DAY_MS,
  },
  year: {
    windowOf: yearsSince1970,
    firstDayOf: (window) => Date.UTC(1970, window * 12, 1) / DAY_MS,
  },
};

/** Offset names such as "+05:30" are no IANA zones, and Node 22 accepts them while Node 20 does not. */
const ZONE_NAME = /^[A-Za-z][\w+/-]*$/;

/** As in "07 PM GMT-03:30", "GMT-04:56:02" before standard time, or a bare "GMT". */
const GMT_OFFSET = /GMT(?:([+\-\u2212])(\d+):(\d+)(?::(\d+))?)?$/;

/** Keyed by lower-case name, so that the names Intl knows bound its size. */
const offsetFormats = new Map<string, Intl.DateTimeFormat>();

/** Whether Intl knows this IANA zone, in any letter case. */
export function isTimeZone(name: string): boolean {
  try {
    offsetFormat(name);
    return true;
  } catch {
    return false;
  }
}

/**
 * Window boundaries in whole µs since the Unix epoch, strictly increasing: the starts of `before`
 * windows, then the start and the end of the window that contains `nowUs`, then the ends of `after`
 * windows more. Every instant of a window gives the same boundaries.
 *
 * A day, week, month or year begins at the first instant of its first local date, whatever the
 * clock shows then, and stays begun when the clock is set back. A date that the zone skipped is no
 * window: the one before lasts until the next date that exists. A minute or an hour begins whenever
 * the local clock shows a whole one and at every change of the zone's offset.
 *
 * @param nowUs from year 1 to year 9999; boundaries are exact even past 2^53, as multiples of 10^6
 * @throws RangeError for an unknown zone, or a `nowUs` that is no time
 */
export function calendarBoundaries(
  spec: CalendarSpec,
  nowUs: number,
  before = 1,
  after = 2,
): readonly number[] {
  const { unit, timeZone, weekStartsOn } = spec;
  const offsetAt = offsetsOf(timeZone);
  const nowSec = Math.floor(nowUs / SECOND_US);
  const starts =
    unit === "minute" || unit === "hour"
      ? clockStarts(offsetAt, unit, nowSec, before, after)
      : dateStarts(offsetAt, unit, weekStartsOn, nowSec, before, after);
  const current = starts.findLastIndex((startSec) => startSec <= nowSec);
  return starts
    .slice(current - before, current + after + 2)
    .map((startSec) => startSec * SECOND_US);
}

function clockStarts(
  offsetAt: OffsetAt,
  unit: "minute" | "hour",
  nowSec: number,
  before: number,
  after: number,
): number[] {
  const unitSec = unit === "minute" ? MINUTE_SEC : HOUR_SEC;
  // No such window is longer than its unit, so this range holds at least the requested windows.
  const fromSec = nowSec - (before + SPARE_WINDOWS) * unitSec;
  const toSec = nowSec + (after + SPARE_WINDOWS) * unitSec;
  return stretches(offsetAt, fromSec, toSec).flatMap((stretch) => {
    const starts = wholeUnits(stretch, unitSec);
    const isTransition = stretch.fromSec > fromSec;
    return isTransition ? [stretch.fromSec].concat(starts) : starts;
  });
}

/** The instants of a stretch, its start aside, at which the local clock shows a whole unit. */
function wholeUnits({ fromSec, toSec, offsetSec }: Stretch, unitSec: number): number[] {
  const starts: number[] = [];
  const firstWhole = Math.floor((fromSec + offsetSec) / unitSec) + 1;
  const firstSec = firstWhole * unitSec - offsetSec;
  for (let startSec = firstSec; startSec < toSec; startSec += unitSec) starts.push(startSec);
  return starts;
}

function dateStarts(
  offsetAt: OffsetAt,
  unit: DateUnit,
  weekStartsOn: Weekday,
  nowSec: number,
  before: number,
  after: number,
): number[] {
  const { windowOf, firstDayOf } = NUMBERINGS[unit];
  const weekStart = WEEKDAYS.indexOf(weekStartsOn);
  const today = Math.floor((nowSec + offsetAt(nowSec)) / DAY_SEC);
  const current = windowOf(today, weekStart);
  const last = current + after + SPARE_WINDOWS;
  // A set, because a skipped date starts when the next one does.
  const starts = new Set<number>();
  for (let window = current - before - SPARE_WINDOWS; window <= last; window++) {
    starts.add(firstInstantAt(offsetAt, firstDayOf(window, weekStart) * DAY_SEC));
  }
  return [...starts];
}

function yearsSince1970(day: number): number {
  return new Date(day * DAY_MS).getUTCFullYear() - 1970;
}

/** The first instant at which the local clock shows `localSec` or later. */
function firstInstantAt(offsetAt: OffsetAt, localSec: number): number {
  // Offsets are shorter than a day: the clock shows less before this range, and more after it.
  const reaching = stretches(offsetAt, localSec - DAY_SEC, localSec + DAY_SEC).filter(
    ({ toSec, offsetSec }) => toSec + offsetSec > localSec,
  );
  const instants = reaching.map(({ fromSec, offsetSec }) =>
    Math.max(fromSec, localSec - offsetSec),
  );
  return Math.min(...instants);
}

/** [fromSec, toSec) cut at the zone's transitions. */
function stretches(offsetAt: OffsetAt, fromSec: number, toSec: number): Stretch[] {
  const found: Stretch[] = [];
  let startSec = fromSec;
  let offsetSec = offsetAt(fromSec);
  let scannedSec = fromSec;
  while (scannedSec < toSec) {
    const probeSec = Math.min(scannedSec + SCAN_STEP_SEC, toSec);
    if (offsetAt(probeSec) === offsetSec) {
      scannedSec = probeSec;
    } else {
      scannedSec = transitionBetween(offsetAt, scannedSec, probeSec);
      found.push({ fromSec: startSec, toSec: scannedSec, offsetSec });
      startSec = scannedSec;
      offsetSec = offsetAt(startSec);
    }
  }
  found.push({ fromSec: startSec, toSec, offsetSec });
  return found;
}

/** The first second of the new offset, if the offsets at `oldSec` and `newSec` differ. */
function transitionBetween(offsetAt: OffsetAt, oldSec: number, newSec: number): number {
  const oldOffsetSec = offsetAt(oldSec);
  let low = oldSec;
  let high = newSec;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetAt(middle) === oldOffsetSec) low = middle;
    else high = middle;
  }
  return high;
}

function offsetsOf(timeZone: string): OffsetAt {
  const format = offsetFormat(timeZone);
  return (atSec) => parseOffset(format.format(atSec * SECOND_MS));
}

function parseOffset(formatted: string): number {
  const match = GMT_OFFSET.exec(formatted);
  if (match === null) throw new Error(`Intl gave no offset from GMT: ${formatted}`);
  const [, sign = "+", hours = 0, minutes = 0, seconds = 0] = match;
  const sizeSec = Number(hours) * HOUR_SEC + Number(minutes) * MINUTE_SEC + Number(seconds);
  return sign === "+" ? sizeSec : -sizeSec;
}

function offsetFormat(timeZone: string): Intl.DateTimeFormat {
  if (!ZONE_NAME.test(timeZone)) throw new RangeError(`Not an IANA time zone: ${timeZone}`);
  const key = timeZone.toLowerCase();
  let format = offsetFormats.get(key);
  if (format === undefined) {
    // The hour is ignored. It is here because Intl writes a whole date if no field is chosen.
    format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hour: "2-digit",
      timeZoneName: "longOffset",
    });
    offsetFormats.set(key, format);
  }
  return format;
}

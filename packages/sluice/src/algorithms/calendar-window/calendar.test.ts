import { Temporal } from "@js-temporal/polyfill";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { runs } from "../../../test/support/runs.js";
import {
  type CalendarSpec,
  type CalendarUnit,
  calendarBoundaries,
  isTimeZone,
  type Weekday,
} from "./calendar.js";

const WEEK: readonly Weekday[] = [
  "monday",
  "tuesday",
  "wednesday",
  "thursday",
  "friday",
  "saturday",
  "sunday",
];
const CLOCK_UNITS = ["minute", "hour"] as const;
const DATE_UNITS = ["day", "week", "month", "year"] as const;
type DateUnit = (typeof DATE_UNITS)[number];
const UNITS: readonly CalendarUnit[] = [...CLOCK_UNITS, ...DATE_UNITS];
const ZONES = Intl.supportedValuesOf("timeZone");

const SECOND_US = 1_000_000;
const MINUTE_SEC = 60;
const HOUR_SEC = 3600;
const DAY_SEC = 86_400;

function spec(
  unit: CalendarUnit,
  timeZone: string,
  weekStartsOn: Weekday = "monday",
): CalendarSpec {
  return { unit, timeZone, weekStartsOn };
}

/** "2024-03-10T05:00Z" → µs */
function us(text: string): number {
  return Date.parse(text) * 1000;
}

/** µs → "2024-03-10T05:00:00Z" */
function iso(atUs: number): string {
  return new Date(atUs / 1000).toISOString().replace(".000Z", "Z");
}

describe("calendarBoundaries at hand-checked instants", () => {
  interface Case {
    readonly name: string;
    readonly spec: CalendarSpec;
    /** Instants that must all answer with the same window. */
    readonly at: readonly string[];
    /** Start and end of that window, then the ends of the windows that follow it. */
    readonly boundaries: readonly string[];
  }

  const cases: readonly Case[] = [
    {
      name: "UTC minute",
      spec: spec("minute", "UTC"),
      at: ["2024-05-06T07:08:00Z", "2024-05-06T07:08:59.999Z"],
      boundaries: ["2024-05-06T07:08:00Z", "2024-05-06T07:09:00Z", "2024-05-06T07:10:00Z"],
    },
    {
      name: "UTC hour",
      spec: spec("hour", "UTC"),
      at: ["2024-05-06T07:00:00Z", "2024-05-06T07:59:59.999Z"],
      boundaries: ["2024-05-06T07:00:00Z", "2024-05-06T08:00:00Z", "2024-05-06T09:00:00Z"],
    },
    {
      name: "UTC day, over a leap day",
      spec: spec("day", "UTC"),
      at: ["2024-02-28T00:00:00Z", "2024-02-28T23:59:59.999Z"],
      boundaries: ["2024-02-28T00:00:00Z", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"],
    },
    {
      name: "UTC week from Monday",
      spec: spec("week", "UTC", "monday"),
      at: ["2024-05-06T00:00:00Z", "2024-05-12T23:59:59.999Z"],
      boundaries: ["2024-05-06T00:00:00Z", "2024-05-13T00:00:00Z", "2024-05-20T00:00:00Z"],
    },
    {
      name: "UTC week from Sunday",
      spec: spec("week", "UTC", "sunday"),
      at: ["2024-05-05T00:00:00Z", "2024-05-11T23:59:59.999Z"],
      boundaries: ["2024-05-05T00:00:00Z", "2024-05-12T00:00:00Z", "2024-05-19T00:00:00Z"],
    },
    {
      name: "UTC month, over the end of a year",
      spec: spec("month", "UTC"),
      at: ["2023-11-01T00:00:00Z", "2023-11-30T23:59:59.999Z"],
      boundaries: ["2023-11-01T00:00:00Z", "2023-12-01T00:00:00Z", "2024-01-01T00:00:00Z"],
    },
    {
      name: "UTC year",
      spec: spec("year", "UTC"),
      at: ["2023-01-01T00:00:00Z", "2023-12-31T23:59:59.999Z"],
      boundaries: ["2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"],
    },
    {
      name: "the epoch",
      spec: spec("hour", "UTC"),
      at: ["1970-01-01T00:00:00Z"],
      boundaries: ["1970-01-01T00:00:00Z", "1970-01-01T01:00:00Z"],
    },
    {
      name: "the year 1, as no year of the 20th century",
      spec: spec("year", "UTC"),
      at: ["0001-01-01T00:00:00Z", "0001-12-31T12:00:00Z"],
      boundaries: ["0001-01-01T00:00:00Z", "0002-01-01T00:00:00Z", "0003-01-01T00:00:00Z"],
    },
    {
      name: "the year 9999",
      spec: spec("month", "Asia/Tokyo"),
      at: ["9999-06-15T00:00:00Z"],
      boundaries: ["9999-05-31T15:00:00Z", "9999-06-30T15:00:00Z"],
    },
    {
      name: "Kathmandu's hours begin a quarter past those of UTC",
      spec: spec("hour", "Asia/Kathmandu"),
      at: ["2024-01-01T00:15:00Z", "2024-01-01T01:14:59Z"],
      boundaries: ["2024-01-01T00:15:00Z", "2024-01-01T01:15:00Z"],
    },
    {
      name: "Kathmandu's day",
      spec: spec("day", "Asia/Kathmandu"),
      at: ["2024-01-01T12:00:00Z"],
      boundaries: ["2023-12-31T18:15:00Z", "2024-01-01T18:15:00Z"],
    },
    {
      name: "New York's day of 23 hours",
      spec: spec("day", "America/New_York"),
      at: ["2024-03-10T05:00:00Z", "2024-03-11T03:59:59Z"],
      boundaries: ["2024-03-10T05:00:00Z", "2024-03-11T04:00:00Z", "2024-03-12T04:00:00Z"],
    },
    {
      name: "New York's day of 25 hours",
      spec: spec("day", "America/New_York"),
      at: ["2024-11-03T04:00:00Z", "2024-11-04T04:59:59Z"],
      boundaries: ["2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z", "2024-11-05T05:00:00Z"],
    },
    {
      name: "New York's hour from 1 to 2 comes twice, as two windows",
      spec: spec("hour", "America/New_York"),
      at: ["2024-11-03T05:00:00Z", "2024-11-03T05:59:59Z"],
      boundaries: ["2024-11-03T05:00:00Z", "2024-11-03T06:00:00Z", "2024-11-03T07:00:00Z"],
    },
    {
      name: "New York's hour from 2 to 3 does not come",
      spec: spec("hour", "America/New_York"),
      at: ["2024-03-10T06:00:00Z", "2024-03-10T06:59:59Z"],
      boundaries: ["2024-03-10T06:00:00Z", "2024-03-10T07:00:00Z", "2024-03-10T08:00:00Z"],
    },
    {
      name: "Lord Howe falls back by half an hour inside an hour",
      spec: spec("hour", "Australia/Lord_Howe"),
      at: ["2024-04-06T14:00:00Z", "2024-04-06T14:59:59Z"],
      boundaries: [
        "2024-04-06T14:00:00Z", // 01:00 +11
        "2024-04-06T15:00:00Z", // 02:00 becomes 01:30 +10:30
        "2024-04-06T15:30:00Z", // 02:00 +10:30
        "2024-04-06T16:30:00Z", // 03:00
      ],
    },
    {
      name: "Lord Howe springs forward by half an hour, from 02:00 to 02:30",
      spec: spec("hour", "Australia/Lord_Howe"),
      at: ["2024-10-05T15:30:00Z", "2024-10-05T15:59:59Z"],
      boundaries: [
        "2024-10-05T15:30:00Z", // 02:00 becomes 02:30 +11
        "2024-10-05T16:00:00Z", // 03:00 +11
        "2024-10-05T17:00:00Z",
      ],
    },
    {
      name: "Havana has two midnights: the first begins the day",
      spec: spec("day", "America/Havana"),
      at: ["2023-11-05T04:00:00Z", "2023-11-05T05:00:00Z", "2023-11-06T04:59:59Z"],
      boundaries: ["2023-11-05T04:00:00Z", "2023-11-06T05:00:00Z", "2023-11-07T05:00:00Z"],
    },
    {
      name: "Cairo has no midnight on 2010-04-30: the day begins at 01:00",
      spec: spec("day", "Africa/Cairo"),
      at: ["2010-04-29T22:00:00Z", "2010-04-30T20:59:59Z"],
      boundaries: ["2010-04-29T22:00:00Z", "2010-04-30T21:00:00Z"],
    },
    {
      name: "Cairo has no midnight on 2023-04-28: the day begins at 01:00",
      spec: spec("day", "Africa/Cairo"),
      at: ["2023-04-26T22:00:00Z", "2023-04-27T21:59:59Z"],
      boundaries: ["2023-04-26T22:00:00Z", "2023-04-27T22:00:00Z", "2023-04-28T21:00:00Z"],
    },
    {
      name: "Toronto jumps from 23:30 over midnight in 1919: the day begins at 00:30",
      spec: spec("day", "America/Toronto"),
      at: ["1919-03-30T05:00:00Z", "1919-03-31T04:29:59Z"],
      boundaries: ["1919-03-30T05:00:00Z", "1919-03-31T04:30:00Z", "1919-04-01T04:00:00Z"],
    },
    {
      name: "Sao Paulo falls back at 24:00: the day waits for the second 24:00",
      spec: spec("day", "America/Sao_Paulo"),
      at: ["2018-02-17T02:00:00Z", "2018-02-18T02:00:00Z", "2018-02-18T02:59:59Z"],
      boundaries: ["2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"],
    },
    {
      name: "St John's falls back at 00:01: the new day has begun at 00:00 and stays begun",
      spec: spec("day", "America/St_Johns"),
      at: [
        "2006-10-29T02:30:00Z",
        "2006-10-29T02:31:00Z",
        "2006-10-29T03:29:59Z",
        "2006-10-30T03:29:59Z",
      ],
      boundaries: ["2006-10-29T02:30:00Z", "2006-10-30T03:30:00Z", "2006-10-31T03:30:00Z"],
    },
    {
      name: "St John's day before that fall back ends at the first midnight",
      spec: spec("day", "America/St_Johns"),
      at: ["2006-10-28T02:30:00Z", "2006-10-29T02:29:59Z"],
      boundaries: ["2006-10-28T02:30:00Z", "2006-10-29T02:30:00Z", "2006-10-30T03:30:00Z"],
    },
    {
      name: "St John's month begins before the clock is set back to the last of October",
      spec: spec("month", "America/St_Johns"),
      at: ["2009-11-01T02:30:00Z", "2009-11-01T03:00:00Z"],
      boundaries: ["2009-11-01T02:30:00Z", "2009-12-01T03:30:00Z"],
    },
    {
      name: "St John's hour of one minute before the fall back, then one from 23:01",
      spec: spec("hour", "America/St_Johns"),
      at: ["2006-10-29T02:30:00Z", "2006-10-29T02:30:59Z"],
      boundaries: ["2006-10-29T02:30:00Z", "2006-10-29T02:31:00Z", "2006-10-29T03:30:00Z"],
    },
    {
      name: "Samoa has no 2011-12-30: the 29th lasts until the 31st",
      spec: spec("day", "Pacific/Apia"),
      at: ["2011-12-29T10:00:00Z", "2011-12-30T09:59:59Z"],
      boundaries: ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"],
    },
    {
      name: "Samoa's week from the missing Friday begins on the Saturday",
      spec: spec("week", "Pacific/Apia", "friday"),
      at: ["2011-12-30T10:00:00Z", "2012-01-05T09:59:59Z"],
      boundaries: ["2011-12-30T10:00:00Z", "2012-01-05T10:00:00Z"],
    },
    {
      name: "Samoa's week from Monday has six days",
      spec: spec("week", "Pacific/Apia", "monday"),
      at: ["2011-12-26T10:00:00Z", "2012-01-01T09:59:59Z"],
      boundaries: ["2011-12-26T10:00:00Z", "2012-01-01T10:00:00Z"],
    },
    {
      name: "Kwajalein has no 1993-08-21",
      spec: spec("day", "Pacific/Kwajalein"),
      at: ["1993-08-20T12:00:00Z", "1993-08-21T11:59:59Z"],
      boundaries: ["1993-08-20T12:00:00Z", "1993-08-21T12:00:00Z", "1993-08-22T12:00:00Z"],
    },
    {
      name: "Kiritimati skips the last day of 1994",
      spec: spec("year", "Pacific/Kiritimati"),
      at: ["1994-12-31T10:00:00Z", "1995-12-31T09:59:59Z"],
      boundaries: ["1994-12-31T10:00:00Z", "1995-12-31T10:00:00Z"],
    },
    {
      name: "Juneau, sold to America, has 1867-10-18 again: its 19th lasts two days",
      spec: spec("day", "America/Juneau"),
      at: ["1867-10-18T08:57:41Z", "1867-10-19T12:00:00Z", "1867-10-20T08:57:40Z"],
      boundaries: ["1867-10-18T08:57:41Z", "1867-10-20T08:57:41Z"],
    },
    {
      name: "New York's local mean time, 4:56:02 behind, ends 58 seconds into a minute",
      spec: spec("minute", "America/New_York"),
      at: ["1883-11-18T16:58:02Z", "1883-11-18T16:59:01Z"],
      boundaries: [
        "1883-11-18T16:58:02Z", // 12:02:00
        "1883-11-18T16:59:02Z", // 12:03:00
        "1883-11-18T17:00:00Z", // 12:03:58 becomes 12:00:00
        "1883-11-18T17:01:00Z",
      ],
    },
    {
      name: "New York's local mean time, by the day",
      spec: spec("day", "America/New_York"),
      at: ["1883-11-18T04:56:02Z", "1883-11-19T04:59:59Z"],
      boundaries: ["1883-11-18T04:56:02Z", "1883-11-19T05:00:00Z"],
    },
  ];

  it.each(cases)("$name", ({ spec: calendar, at, boundaries }) => {
    const after = boundaries.length - 2;
    const found = at.map((instant) => calendarBoundaries(calendar, us(instant), 0, after).map(iso));
    expect(found).toEqual(at.map(() => boundaries));
  });

  it("covers one window before and two after unless told otherwise", () => {
    expect(calendarBoundaries(spec("day", "UTC"), us("2024-05-06T07:08:09Z")).map(iso)).toEqual([
      "2024-05-05T00:00:00Z",
      "2024-05-06T00:00:00Z",
      "2024-05-07T00:00:00Z",
      "2024-05-08T00:00:00Z",
      "2024-05-09T00:00:00Z",
    ]);
  });

  it("puts the last µs before a boundary in the window before, up to the last exact number", () => {
    for (const endUs of [us("2024-05-06T08:00:00Z"), us("2255-06-05T23:00:00Z")]) {
      expect(calendarBoundaries(spec("hour", "UTC"), endUs - 1, 0, 0)[1]).toBe(endUs);
      expect(calendarBoundaries(spec("hour", "UTC"), endUs, 0, 0)[0]).toBe(endUs);
    }
  });

  it("gives no negative zero", () => {
    for (const unit of UNITS) {
      const boundaries = calendarBoundaries(spec(unit, "UTC", "thursday"), 0);
      expect(boundaries.filter((boundary) => boundary === 0)).toStrictEqual([0]);
    }
  });

  it("sees both of two transitions a week apart", () => {
    // Recife kept summer time from 8 to 15 October 2000.
    const days = calendarBoundaries(spec("day", "America/Recife"), us("2000-10-11T12:00Z"), 4, 4);
    expect(days.map(iso)).toEqual([
      "2000-10-07T03:00:00Z",
      "2000-10-08T03:00:00Z",
      "2000-10-09T02:00:00Z",
      "2000-10-10T02:00:00Z",
      "2000-10-11T02:00:00Z",
      "2000-10-12T02:00:00Z",
      "2000-10-13T02:00:00Z",
      "2000-10-14T02:00:00Z",
      "2000-10-15T03:00:00Z",
      "2000-10-16T03:00:00Z",
    ]);
  });

  it("refuses an unknown zone and a time that is none", () => {
    expect(() => calendarBoundaries(spec("day", "Mars/Base"), 0)).toThrow(RangeError);
    for (const unit of UNITS) {
      expect(() => calendarBoundaries(spec(unit, "UTC"), Number.NaN)).toThrow(RangeError);
      expect(() => calendarBoundaries(spec(unit, "UTC"), Number.POSITIVE_INFINITY)).toThrow(
        RangeError,
      );
    }
  });
});

describe("isTimeZone", () => {
  it("knows every zone that Intl lists", () => {
    expect(ZONES.filter((zone) => !isTimeZone(zone))).toEqual([]);
  });

  it.each([
    "UTC",
    "utc",
    "europe/PARIS",
    "US/Eastern",
    "Etc/GMT+5",
    "EST5EDT",
    "America/Port-au-Prince",
  ])("knows %s", (name) => {
    expect(isTimeZone(name)).toBe(true);
  });

  // The last is spelled with the sign for kelvins, which is a K in lower case only.
  it.each(["", " ", "Mars/Base", "+05:30", "-08", "UTC ", "Europe/Paris\n", "Asia/\u212aolkata"])(
    "does not know %j",
    (name) => {
      expect(isTimeZone("Asia/Kolkata")).toBe(true);
      expect(isTimeZone(name)).toBe(false);
    },
  );

  it("takes nothing but a string from an untyped caller", () => {
    const values: readonly unknown[] = [undefined, null, 5, {}, ["UTC"]];
    expect(values.filter((value) => isTimeZone(value as string))).toEqual([]);
  });
});

const anyZone = fc.constantFrom(...ZONES);
const anyWeekday = fc.constantFrom(...WEEK);
const anySecond = fc.integer({
  min: us("1850-01-01T00:00Z") / SECOND_US,
  max: us("2100-01-01T00:00Z") / SECOND_US,
});

/** Mostly within three days of a transition of the zone, and then half the time within three hours. */
const zonedSecond = fc
  .record({
    timeZone: anyZone,
    sec: anySecond,
    fromTransitionSec: fc.option(
      fc.oneof(
        fc.integer({ min: -3 * HOUR_SEC, max: 3 * HOUR_SEC }),
        fc.integer({ min: -3 * DAY_SEC, max: 3 * DAY_SEC }),
      ),
    ),
  })
  .map(({ timeZone, sec, fromTransitionSec }) => ({
    timeZone,
    sec: fromTransitionSec === null ? sec : nextTransition(timeZone, sec) + fromTransitionSec,
  }));

function zoned(timeZone: string, sec: number): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(sec * 1000).toZonedDateTimeISO(timeZone);
}

/** The second itself in a zone that has no more transitions. */
function nextTransition(timeZone: string, sec: number): number {
  const next = zoned(timeZone, sec).getTimeZoneTransition("next");
  return next === null ? sec : next.epochMilliseconds / 1000;
}

/** The boundaries in (fromSec, toSec], in seconds. */
function boundariesBetween(calendar: CalendarSpec, fromSec: number, toSec: number): number[] {
  const middleSec = Math.floor((fromSec + toSec) / 2);
  const half = 130; // as many windows as two hours have minutes, and some
  return calendarBoundaries(calendar, middleSec * SECOND_US, half, half)
    .map((boundary) => boundary / SECOND_US)
    .filter((sec) => sec > fromSec && sec <= toSec);
}

function firstDate(date: Temporal.PlainDate, unit: DateUnit, weekStartsOn: Weekday) {
  switch (unit) {
    case "day":
      return date;
    case "week":
      return date.subtract({ days: (date.dayOfWeek - 1 - WEEK.indexOf(weekStartsOn) + 7) % 7 });
    case "month":
      return date.with({ day: 1 });
    case "year":
      return date.with({ month: 1, day: 1 });
  }
}

/** Temporal starts a date at its first instant, and a skipped date at the start of the next one. */
function temporalWindow(unit: DateUnit, timeZone: string, weekStartsOn: Weekday, sec: number) {
  const first = firstDate(zoned(timeZone, sec).toPlainDate(), unit, weekStartsOn);
  const starts = [-2, -1, 0, 1, 2, 3].map(
    (n) => first.add({ [`${unit}s`]: n }).toZonedDateTime({ timeZone }).epochMilliseconds * 1000,
  );
  const nowUs = sec * SECOND_US;
  return [starts.findLast((start) => start <= nowUs), starts.find((start) => start > nowUs)];
}

describe("calendarBoundaries against Temporal", () => {
  it.each(DATE_UNITS)("%s windows start and end with first local dates", (unit) => {
    fc.assert(
      fc.property(zonedSecond, anyWeekday, ({ timeZone, sec }, weekStartsOn) => {
        const calendar = spec(unit, timeZone, weekStartsOn);
        expect(calendarBoundaries(calendar, sec * SECOND_US, 0, 0)).toEqual(
          temporalWindow(unit, timeZone, weekStartsOn, sec),
        );
      }),
      { numRuns: runs(600) },
    );
  });

  it.each(DATE_UNITS)("%s windows are the same in each zone that Intl lists", (unit) => {
    const sec = us("2024-06-15T13:14:15Z") / SECOND_US;
    const found = ZONES.map((zone) => calendarBoundaries(spec(unit, zone), sec * SECOND_US, 0, 0));
    expect(found).toEqual(ZONES.map((zone) => temporalWindow(unit, zone, "monday", sec)));
  });
});

/** Numbers the windows of a unit in their order, by the date that a local clock shows. */
function dateWindow({ unit, weekStartsOn }: CalendarSpec, localSec: number): number {
  const date = new Date(localSec * 1000);
  const day = Math.floor(localSec / DAY_SEC);
  const firstMonday = 4; // 1970-01-05
  switch (unit) {
    case "week":
      return Math.floor((day - firstMonday - WEEK.indexOf(weekStartsOn)) / 7);
    case "month":
      return date.getUTCFullYear() * 12 + date.getUTCMonth();
    case "year":
      return date.getUTCFullYear();
    default:
      return day;
  }
}

describe("calendarBoundaries against a local clock that is watched through a transition", () => {
  const clocks = new Map<string, Intl.DateTimeFormat>();

  /** What the zone's clock shows, as the second at which a clock on UTC shows the same. */
  function localSecAt(timeZone: string, sec: number): number {
    let clock = clocks.get(timeZone);
    if (clock === undefined) {
      // Swedes write a time the ISO way.
      clock = new Intl.DateTimeFormat("sv-SE", {
        timeZone,
        dateStyle: "short",
        timeStyle: "medium",
      });
      clocks.set(timeZone, clock);
    }
    return Date.parse(`${clock.format(sec * 1000).replace(" ", "T")}Z`) / 1000;
  }

  /** The seconds in (fromSec, toSec] at which the local window is later than ever before. */
  function watchDates(calendar: CalendarSpec, fromSec: number, toSec: number): number[] {
    const windowAt = (sec: number) => dateWindow(calendar, localSecAt(calendar.timeZone, sec));
    const starts: number[] = [];
    let latest = windowAt(fromSec);
    for (let sec = fromSec; sec < toSec; sec += MINUTE_SEC) {
      if (windowAt(sec + MINUTE_SEC) <= latest) continue;
      let start = sec + 1;
      while (windowAt(start) <= latest) start++;
      starts.push(start);
      latest = windowAt(start);
    }
    return starts;
  }

  /** The seconds in (fromSec, toSec] at which the clock shows a whole unit or jumps. */
  function watchClock({ unit, timeZone }: CalendarSpec, fromSec: number, toSec: number): number[] {
    const unitSec = unit === "minute" ? MINUTE_SEC : HOUR_SEC;
    const starts: number[] = [];
    let local = localSecAt(timeZone, fromSec);
    for (let sec = fromSec + 1; sec <= toSec; sec++) {
      const next = localSecAt(timeZone, sec);
      if (next % unitSec === 0 || next !== local + 1) starts.push(sec);
      local = next;
    }
    return starts;
  }

  it.each(DATE_UNITS)("%s windows begin when their first local date is first seen", (unit) => {
    fc.assert(
      fc.property(anyZone, anySecond, anyWeekday, (timeZone, sec, weekStartsOn) => {
        const calendar = spec(unit, timeZone, weekStartsOn);
        const transitionSec = nextTransition(timeZone, sec);
        const range = [transitionSec - 36 * HOUR_SEC, transitionSec + 36 * HOUR_SEC] as const;
        expect(boundariesBetween(calendar, ...range)).toEqual(watchDates(calendar, ...range));
      }),
      { numRuns: runs(60) },
    );
  });

  // These cross a midnight back or forward, skip a date, or fall inside a minute: a draw is rarely so lucky.
  const awkward: readonly (readonly [timeZone: string, transition: string])[] = [
    ["America/St_Johns", "1988-10-30T01:31Z"],
    ["America/St_Johns", "2006-10-29T02:31Z"],
    ["America/St_Johns", "2009-11-01T02:31Z"],
    ["America/Goose_Bay", "2009-11-01T03:01Z"],
    ["America/Havana", "2023-11-05T05:00Z"],
    ["America/Asuncion", "2023-03-26T03:00Z"],
    ["Africa/Cairo", "2023-04-27T22:00Z"],
    ["Asia/Beirut", "2024-03-30T22:00Z"],
    ["Pacific/Apia", "2011-12-30T10:00Z"],
    ["Pacific/Fakaofo", "2011-12-30T11:00Z"],
    ["Pacific/Kwajalein", "1993-08-21T12:00Z"],
    ["Pacific/Kiritimati", "1994-12-31T10:00Z"],
    ["Africa/Monrovia", "1972-01-07T00:44:30Z"],
  ];

  it.each(awkward)("windows begin when they are first seen in %s at %s", (timeZone, transition) => {
    const sec = us(transition) / SECOND_US;
    expect(localSecAt(timeZone, sec)).not.toBe(localSecAt(timeZone, sec - 1) + 1);

    const days = [sec - 36 * HOUR_SEC, sec + 36 * HOUR_SEC] as const;
    const dated = [
      ...(["day", "month", "year"] as const).map((unit) => spec(unit, timeZone)),
      ...WEEK.map((weekStartsOn) => spec("week", timeZone, weekStartsOn)),
    ];
    for (const calendar of dated) {
      expect(boundariesBetween(calendar, ...days)).toEqual(watchDates(calendar, ...days));
    }

    const hours = [sec - 2 * HOUR_SEC, sec + 2 * HOUR_SEC] as const;
    for (const calendar of CLOCK_UNITS.map((unit) => spec(unit, timeZone))) {
      expect(boundariesBetween(calendar, ...hours)).toEqual(watchClock(calendar, ...hours));
    }
  });

  it.each(CLOCK_UNITS)("%s windows begin when the clock shows a whole one or jumps", (unit) => {
    fc.assert(
      fc.property(anyZone, anySecond, (timeZone, sec) => {
        const calendar = spec(unit, timeZone);
        const transitionSec = nextTransition(timeZone, sec);
        const range = [transitionSec - 2 * HOUR_SEC, transitionSec + 2 * HOUR_SEC] as const;
        expect(boundariesBetween(calendar, ...range)).toEqual(watchClock(calendar, ...range));
      }),
      { numRuns: runs(60) },
    );
  });
});

describe("calendarBoundaries, for any unit and zone,", () => {
  it("rises strictly, holds the instant asked about, and is the same from anywhere in its window", () => {
    const request = fc.record({
      zone: zonedSecond,
      unit: fc.constantFrom(...UNITS),
      weekStartsOn: anyWeekday,
      microsecond: fc.integer({ min: 0, max: SECOND_US - 1 }),
      before: fc.integer({ min: 0, max: 6 }),
      after: fc.integer({ min: 0, max: 6 }),
      part: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    });
    fc.assert(
      fc.property(request, ({ zone, unit, weekStartsOn, microsecond, before, after, part }) => {
        const calendar = spec(unit, zone.timeZone, weekStartsOn);
        const nowUs = zone.sec * SECOND_US + microsecond;
        const boundaries = calendarBoundaries(calendar, nowUs, before, after);
        expect(boundaries).toHaveLength(before + after + 2);
        expect(boundaries).toEqual([...new Set(boundaries)].sort((a, b) => a - b));

        const [startUs = Number.NaN, endUs = Number.NaN] = boundaries.slice(before);
        expect(startUs).toBeLessThanOrEqual(nowUs);
        expect(endUs).toBeGreaterThan(nowUs);
        const otherUs = startUs + Math.floor((endUs - startUs) * part);
        for (const sameUs of [startUs, otherUs, endUs - 1]) {
          expect(calendarBoundaries(calendar, sameUs, before, after)).toEqual(boundaries);
        }
        expect(calendarBoundaries(calendar, endUs, before + 1, after)).toEqual(
          calendarBoundaries(calendar, nowUs, before, after + 1),
        );
      }),
      { numRuns: runs(2000) },
    );
  });
});

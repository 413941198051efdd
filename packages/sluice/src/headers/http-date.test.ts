/** Dates of HTTP in their three forms. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import { parseHttpDate } from "./http-date.js";
import { parseRetryAfter, retryAfterMsIn } from "./retry-after.js";

const NOW_MS = Date.UTC(2026, 10, 21);
const RFC_EXAMPLE_MS = Date.UTC(1994, 10, 6, 8, 49, 37);

describe("a date", () => {
  test.each([
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
  ])("%s is the example of RFC 9110", (text) => {
    expect(parseHttpDate(text, NOW_MS)).toBe(RFC_EXAMPLE_MS);
  });

  test("is read back from how the platform writes it", () => {
    const seconds = fc.integer({ min: Date.UTC(1900) / 1e3, max: 253_402_300_799 });
    fc.assert(
      fc.property(seconds, (s) => {
        const date = new Date(s * 1e3);
        expect(parseHttpDate(date.toUTCString(), NOW_MS)).toBe(s * 1e3);
      }),
      { numRuns: runs(100) },
    );
  });

  test("with two digits of the year lies at most 50 years ahead", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 99 }), (year) => {
        const text = `Sunday, 06-Nov-${String(year).padStart(2, "0")} 08:49:37 GMT`;
        const full = new Date(parseHttpDate(text, NOW_MS) ?? Number.NaN).getUTCFullYear();
        expect(full % 100).toBe(year);
        expect(full).toBeGreaterThan(1976);
        expect(full).toBeLessThanOrEqual(2076);
      }),
      { numRuns: runs(100) },
    );
    expect(parseHttpDate("Sunday, 06-Nov-10 08:49:37 GMT", Date.UTC(1999, 0, 1))).toBe(
      Date.UTC(2010, 10, 6, 8, 49, 37),
    );
  });

  test("may have a leap second", () => {
    expect(parseHttpDate("Sat, 31 Dec 2016 23:59:60 GMT", NOW_MS)).toBe(Date.UTC(2017, 0, 1));
  });

  test.each([
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 09:49:37 +0100",
    "Sun, 06 Nov 1994 08:49:37 -0000",
    "Sun, 06 Nov 1994 03:49:37 EST",
    "Sun, 06 Nov 1994 01:49:37 PDT",
    "Sun, 06 Nov 1994 08:49:37",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "sun, 06 nov 1994 08:49:37 gmt",
    "SUN, 06 NOV 1994 08:49:37 GMT",
    "Sun,  06  Nov 1994 08:49:37  GMT ",
    "Sunday, 06 November 1994 08:49:37 GMT",
    "06 Nov 1994 08:49:37 GMT",
    "Sun, 06-Nov-1994 08:49:37 GMT",
    "Sun, 06-Nov-94 08:49:37 GMT",
    "Sun Nov 6 08:49:37 1994",
    "Sun Nov  6 08:49:37 UTC 1994",
    "Sun Nov 06 08:49:37 +0000 1994",
    "Sun Nov 06 1994 08:49:37 GMT+0000 (Coordinated Universal Time)",
    "Sun Nov 06 1994 09:49:37 GMT+0100 (Central European Standard Time)",
    "Mon, 06 Nov 1994 08:49:37 GMT",
    "1994-11-06T08:49:37Z",
    "1994-11-06T08:49:37.000Z",
    "1994-11-06T08:49:37.000000000Z",
    "1994-11-06T09:49:37+01:00",
    "1994-11-06T00:49:37-0800",
    "1994-11-06t08:49:37z",
    "1994-11-06T08:49:37",
    "1994-11-06 08:49:37",
    "1994-11-06 08:49:37 +0000 UTC",
    "1994-11-06 08:49:37 UTC",
  ])("%j is the same, as servers write it", (text) => {
    expect(parseHttpDate(text, NOW_MS)).toBe(RFC_EXAMPLE_MS);
  });

  test.each([
    ["1994-11-06T08:49Z", Date.UTC(1994, 10, 6, 8, 49)],
    ["1994-11-06", Date.UTC(1994, 10, 6)],
    ["Sun, 06 Nov 1994 08:49 GMT", Date.UTC(1994, 10, 6, 8, 49)],
    ["1994-11-06T08:49:37.250Z", RFC_EXAMPLE_MS + 250],
    ["1994-11-06T08:49:37.123456789Z", RFC_EXAMPLE_MS + 123.456789],
    ["1994-12-31T23:30:00-01:00", Date.UTC(1995, 0, 1, 0, 30)],
  ])("%j may leave out or add a part", (text, ms) => {
    expect(parseHttpDate(text, NOW_MS)).toBe(ms);
  });

  test.each([
    "",
    "Sun, 31 Feb 1994 08:49:37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT",
    "Sun, 06 Nov 1994 08:60:37 GMT",
    "Sun, 06 Nov 1994 08:49:61 GMT",
    "Sun, 06 Xyz 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:37 XYZ",
    "Sun, 06 Nov 1994",
    "1994-13-06T08:49:37Z",
    "1994-00-06T08:49:37Z",
    "1994-02-30T08:49:37Z",
    "1994-11-06T08:49:37Z and so on",
    "06/11/1994 08:49:37",
    " ".repeat(40),
    `Sun, 06 Nov 1994 08:49:37 GMT (${"x".repeat(100)})`,
  ])("%j is none", (text) => {
    expect(parseHttpDate(text, NOW_MS)).toBeUndefined();
  });
});

describe("Retry-After", () => {
  const AT = NOW_MS / 1e3;

  test.each<[string, number | undefined]>([
    ["0", 0],
    ["120", 120_000],
    ["007", 7000],
    ["+1", 1000],
    ["2.0", 2000],
    ["0.503", 503],
    [".5", 500],
    ["2.", 2000],
    ["0.0001", 1],
    ["1.5e1", 15_000],
    ['"5"', 5000],
    ["9".repeat(40), Number.MAX_SAFE_INTEGER],
    ["1e400", Number.MAX_SAFE_INTEGER],
    ["Sun, 06 Nov 1994 08:49:37 GMT", 0],
    ["Sat, 21 Nov 2026 00:01:30 GMT", 90_000],
    ["2026-11-21T00:01:30Z", 90_000],
    [`${AT + 20}`, 20_000],
    [`${AT + 20}.5`, 20_500],
    [`${AT + 20}000`, 20_000],
    [`${AT + 20}000000`, 20_000],
    [`${AT + 20}000000000`, 20_000],
    [`${AT - 20}`, 0],
    ["1000000000000", 1e15],
    ["1e12", 1e15],
    ["1s", 1000],
    ["6m0s", 360_000],
    ["1h2m3.5s", 3_723_500],
    ["120ms", 120],
    ["500µs", 1],
    ["1500 us", 2],
    ["30 seconds", 30_000],
    ["1 minute", 60_000],
    ["2 mins", 120_000],
    ["2hrs", 7_200_000],
    ["5 days", 432_000_000],
    ["17ns", 1],
    ["1d", 86_400_000],
    ["PT30S", 30_000],
    ["P1DT1H", 90_000_000],
    ["5, 10", 10_000],
    ["5, soon", 5000],
    ["Sat, 21 Nov 2026 00:00:30 GMT, 5", 30_000],
    ["-1", undefined],
    ["", undefined],
    ["soon", undefined],
    ["5 apples", undefined],
    ["P1M", undefined],
    ["1.2.3", undefined],
    ["0x10", undefined],
    ["Infinity", undefined],
    ["NaN", undefined],
  ])("%j is %j milliseconds", (field, ms) => {
    expect(parseRetryAfter(field, NOW_MS)).toBe(ms);
  });

  test.each<[string, Record<string, string>, number | undefined]>([
    ["milliseconds", { "retry-after-ms": "503", "retry-after": "1" }, 503],
    ["milliseconds that cannot be read", { "retry-after-ms": "x", "retry-after": "1" }, 1000],
    ["Azure's", { "x-ms-retry-after-ms": "9.5" }, 10],
    ["its own", { "x-retry-after": "3" }, 3000],
    ["names", { "retry-after-short": "2", "retry-after-long": "40" }, 40_000],
    ["nothing", { "retry-afterwards": "2" }, undefined],
  ])("in fields with %s", (_, fields, ms) => {
    expect(retryAfterMsIn(new Map(Object.entries(fields)), NOW_MS)).toBe(ms);
  });

  test("hostile texts cost linear time", () => {
    const long = 60_000;
    for (const piece of ["1", "1 ", "1s ", " ", ",", "1.", "e", "Sun,", '"', "-", "1d1"]) {
      parseRetryAfter(piece.repeat(long / piece.length), NOW_MS);
    }
  });
});

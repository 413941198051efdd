/** Dates of HTTP in their three forms. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import { parseHttpDate } from "./http-date.js";
import { parseRetryAfter } from "./retry-after.js";

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
    "",
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 08:49:37 +0100",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "sun, 06 nov 1994 08:49:37 gmt",
    "Sun, 31 Feb 1994 08:49:37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT",
    "Sun, 06 Nov 1994 08:60:37 GMT",
    "Sun, 06 Nov 1994 08:49:61 GMT",
    "Sun, 06 Nov 1994 08:49:37 GMT ",
    "1994-11-06T08:49:37Z",
    " ".repeat(40),
  ])("%j is none", (text) => {
    expect(parseHttpDate(text, NOW_MS)).toBeUndefined();
  });
});

describe("Retry-After", () => {
  test.each([
    ["0", 0],
    ["120", 120_000],
    ["007", 7000],
    ["9".repeat(40), Number.MAX_SAFE_INTEGER],
    ["Sun, 06 Nov 1994 08:49:37 GMT", 0],
    ["Sat, 21 Nov 2026 00:01:30 GMT", 90_000],
    ["-1", undefined],
    ["+1", undefined],
    ["1.5", undefined],
    ["1s", undefined],
    ["", undefined],
    ["5, 10", undefined],
  ])("%j is %j milliseconds", (field, ms) => {
    expect(parseRetryAfter(field, NOW_MS)).toBe(ms);
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import {
  CENTURY_US,
  durationMs,
  MAX_PERIOD_US,
  MIN_PERIOD_US,
  toMicroseconds,
} from "./duration.js";
import { InvalidOptionError } from "./errors.js";

describe("a duration as a number", () => {
  test.each([
    [0, 0],
    [1, 1000],
    [0.001, 1],
    [250.001, 250_001],
    [0.1 + 0.2, 300],
    [1234.567, 1_234_567],
    [86_400_000, 86_400_000_000],
    [CENTURY_US / 1e3, CENTURY_US],
  ])("%d ms is %d µs", (ms, us) => {
    expect(toMicroseconds("period", ms)).toBe(us);
  });

  test("every whole number of microseconds survives the way through milliseconds", () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (integer) => {
        const us = Math.abs(integer) % (CENTURY_US + 1);
        expect(toMicroseconds("period", us / 1e3)).toBe(us);
      }),
      { numRuns: runs(20_000) },
    );
  });

  test.each([-1, -0.001, 0.0005, 1.0005, 1e-9, Number.NaN, Infinity, -Infinity, 4e15])(
    "%d ms is refused",
    (ms) => {
      expect(() => toMicroseconds("period", ms)).toThrow(InvalidOptionError);
    },
  );
});

describe("a duration as text", () => {
  test.each([
    ["250us", 250],
    ["250ms", 250_000],
    ["10s", 10_000_000],
    ["1m", 60_000_000],
    ["1h", 3_600_000_000],
    ["1d", 86_400_000_000],
    ["1.5s", 1_500_000],
    ["0.001ms", 1],
    ["1h30m", 5_400_000_000],
    ["1d2h3m4s5ms6us", 93_784_005_006],
    ["30m1h", 5_400_000_000],
    ["1s1s", 2_000_000],
    ["0s", 0],
    ["36525d", CENTURY_US],
  ])("%s is %d µs", (text, us) => {
    expect(toMicroseconds("period", text)).toBe(us);
  });

  test.each([
    "",
    " ",
    "1",
    "1.5",
    "s",
    "1 s",
    " 1s",
    "1s ",
    "1s\n",
    "1S",
    "1sec",
    "-1s",
    "+1s",
    ".5s",
    "1.s",
    "1e3ms",
    "0x10s",
    "1,5s",
    "1s,1s",
    "1..5s",
    "NaNs",
    "Infinity",
    "٣s",
    "1s\0",
    "1w",
    "1y",
    "0.5us",
    "1.0005ms",
    "36526d",
    "9".repeat(63),
  ])("%j is refused", (text) => {
    expect(() => toMicroseconds("period", text)).toThrow(InvalidOptionError);
  });

  test("sums of any parts in any order are exact", () => {
    const units = { us: 1, ms: 1e3, s: 1e6, m: 60e6, h: 3600e6, d: 86_400e6 } as const;
    const part = fc.tuple(
      fc.integer({ min: 0, max: 999 }),
      fc.constantFrom(...(Object.keys(units) as (keyof typeof units)[])),
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 10 }), (parts) => {
        const text = parts.map(([count, unit]) => `${count}${unit}`).join("");
        const us = parts.reduce((sum, [count, unit]) => sum + count * units[unit], 0);
        expect(toMicroseconds("period", text)).toBe(us);
      }),
      { numRuns: runs(100) },
    );
  });

  test("text past 64 characters is refused unread, however hard it would be to match", () => {
    expect(toMicroseconds("period", `${"0".repeat(62)}1s`)).toBe(1_000_000);
    for (const text of [
      `${"0".repeat(63)}1s`,
      "1s".repeat(50_000),
      `${"1".repeat(1_000_000)}!`,
      `${"1.1".repeat(1_000_000)}!`,
    ]) {
      expect(() => toMicroseconds("period", text)).toThrow(InvalidOptionError);
    }
  });
});

describe("a duration", () => {
  test.each([[undefined], [null], [true], [{}], [[1]], [1n], [Symbol("1s")], [new Date(5)]])(
    "that is %o is refused",
    (value) => {
      expect(() => toMicroseconds("period", value)).toThrow(InvalidOptionError);
    },
  );

  test("keeps to the range asked for, both ends included", () => {
    const period = (value: unknown): number =>
      toMicroseconds("period", value, MIN_PERIOD_US, MAX_PERIOD_US);
    expect(period("1ms")).toBe(1000);
    expect(period("366d")).toBe(MAX_PERIOD_US);
    expect(() => period("999us")).toThrow(InvalidOptionError);
    expect(() => period(0.999)).toThrow(InvalidOptionError);
    expect(() => period("366d1us")).toThrow(InvalidOptionError);
  });

  test("that is refused names the option, the value and the range", () => {
    expect(() => toMicroseconds("blockFor", "soon", 1e3, 2e6)).toThrow(
      expect.objectContaining({
        option: "blockFor",
        value: "soon",
        message: expect.stringMatching(/blockFor.*"soon".*from 1 ms to 2 s in/) as unknown,
      }),
    );
  });

  test.each([
    ["1min", 'did you mean "1m"?'],
    ["1 m", 'did you mean "1m"?'],
    ["5 minutes", 'did you mean "5m"?'],
    ["1 hour and 30 mins", 'did you mean "1h30m"?'],
    ["2Days", 'did you mean "2d"?'],
    ["250 msec", 'did you mean "250ms"?'],
    ["1_000ms", 'did you mean "1000ms"?'],
    ["60", 'did you mean "60s" or 60 for milliseconds?'],
    ["0.5", 'did you mean "0.5s"?'],
    [0.5, undefined],
    [Promise.resolve(5), "forgot await?"],
    ["1 fortnight", undefined],
    ["999 years", undefined],
    ["400 days", undefined],
    ["1s ".repeat(100), undefined],
    ["", undefined],
    [".s", undefined],
  ])("that is refused names what was meant: %o", (value, meant) => {
    const hint = meant === undefined ? "" : `; ${meant}`;
    expect(() => toMicroseconds("period", value, MIN_PERIOD_US, MAX_PERIOD_US)).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(
          new RegExp(`"1h30m"${hint.replaceAll(/[.?]/g, String.raw`\$&`)}$`),
        ) as unknown,
      }),
    );
  });

  test.each([
    [60, 100e3, 86_400e6, 'from 100 ms to 1 day .*; a number is milliseconds; did you mean "60s"'],
    [-1, 1e3, CENTURY_US, "from 1 ms to 100 years in"],
    ["2y", 1e3, MAX_PERIOD_US, "from 1 ms to 366 days in"],
    ["2h", 1e3, 3600e6, "from 1 ms to 1 hour in"],
    [-1, 0, 90e6, "from 0 to 90 s in"],
    [0, 5, 120e6, "from 5 µs to 2 minutes in"],
  ])("names its range in the units that people use: %o", (value, from, to, said) => {
    expect(() => toMicroseconds("period", value, from, to)).toThrow(new RegExp(said));
  });
});

test("durationMs reads what options read, in milliseconds", () => {
  expect(durationMs("1h30m")).toBe(5_400_000);
  expect(durationMs("250us")).toBe(0.25);
  expect(durationMs(12.5)).toBe(12.5);
  expect(durationMs(0)).toBe(0);
  expect(() => durationMs("soon")).toThrow(/^duration: "soon" is not allowed/);
  expect(() => durationMs(-1, "maxWait")).toThrow(/^maxWait: -1 is not allowed/);
});

import { describe, expect, test } from "vitest";
import { CENTURY_US } from "../core/duration.js";
import { ceilMs, wholeUnits } from "./decisions.js";

describe("whole units", () => {
  test.each([
    [0, 0],
    [999, 0],
    [1000, 1],
    [1999, 1],
    [1e12, 1e9],
    [-1, 0],
    [-5000, 0],
  ])("of %d thousandths are %d: rounded down, a debt shows as 0", (thousandths, units) => {
    expect(wholeUnits(thousandths)).toBe(units);
  });
});

describe("microseconds as milliseconds", () => {
  test("is told in whole milliseconds that never end early", () => {
    expect([0, 1, 999, 1000, 1001, CENTURY_US].map(ceilMs)).toEqual([
      0,
      1,
      1,
      1,
      2,
      CENTURY_US / 1e3,
    ]);
  });
});

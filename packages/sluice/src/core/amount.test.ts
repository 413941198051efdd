import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import { MAX_UNITS, toThousandths } from "./amount.js";
import { InvalidOptionError } from "./errors.js";

describe("an amount", () => {
  test.each([
    [0, 0],
    [0.001, 1],
    [1, 1000],
    [1.5, 1500],
    [0.1 + 0.2, 300],
    [1.1 * 3, 3300],
    [2.345, 2345],
    [999_999_999.999, 999_999_999_999],
    [1e9, 1e12],
  ])("of %d units is %d thousandths", (units, thousandths) => {
    expect(toThousandths("cost", units)).toBe(thousandths);
  });

  test("may be off a whole thousandth by less than 1e-9, for that is arithmetic's doing", () => {
    expect(toThousandths("cost", 1.5 + 9e-10)).toBe(1500);
    expect(toThousandths("cost", 1.5 - 9e-10)).toBe(1500);
    expect(() => toThousandths("cost", 1.5 + 1.1e-9)).toThrow(InvalidOptionError);
    expect(() => toThousandths("cost", 1.5 - 1.1e-9)).toThrow(InvalidOptionError);
  });

  test("of any whole number of thousandths survives the division by a thousand", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: MAX_UNITS * 1000 }), (thousandths) => {
        expect(toThousandths("cost", thousandths / 1000)).toBe(thousandths);
      }),
      { numRuns: runs(20_000) },
    );
  });

  test.each([
    [-1],
    [-0.001],
    [0.0005],
    [0.0001],
    [1 / 3],
    [Math.PI],
    [1e9 + 0.001],
    [1e9 - 0.0005],
    [Number.MAX_VALUE],
    [Number.NaN],
    [Infinity],
    [-Infinity],
    ["1"],
    [undefined],
    [null],
    [true],
    [1n],
    [[1]],
    [{ valueOf: () => 1 }],
  ])("of %o is refused", (units) => {
    expect(() => toThousandths("cost", units)).toThrow(InvalidOptionError);
  });

  test("keeps to the range asked for, and an error names it", () => {
    expect(toThousandths("limit", 0.001, 0.001)).toBe(1);
    expect(() => toThousandths("limit", 0, 0.001)).toThrow(
      "limit: 0 is not allowed; expected a number of units from 0.001 to 1,000,000,000",
    );
    expect(() => toThousandths("limit", 10_001, 0.001, 10_000)).toThrow("to 10,000 in whole");
  });

  test("that is text, as settings from the environment are, is refused with the number that was meant", () => {
    for (const [text, meant] of [
      ["60", 60],
      [" 1.5 ", 1.5],
      ["1e3", 1000],
    ] as const) {
      expect(() => toThousandths("limit", text)).toThrow(
        new RegExp(`whole thousandths; a text, not a number: did you mean ${meant}\\?$`),
      );
    }
    for (const text of ["", " ", "ten", "-1", "Infinity", "1m"]) {
      expect(() => toThousandths("limit", text)).toThrow(/in whole thousandths$/);
    }
  });
});

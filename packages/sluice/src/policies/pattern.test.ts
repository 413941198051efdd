/** Texts with stars. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import { cutPattern, EntryMatcher, fits } from "./pattern.js";

test("a pattern fits what the same regular expression fits", () => {
  const texts = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 8 });
  const values = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 10 });
  fc.assert(
    fc.property(texts, values, (text, value) => {
      const expected = new RegExp(`^${text.replaceAll("*", ".*")}$`, "s").test(value);
      expect(fits(cutPattern(text) ?? [], value)).toBe(expected);
    }),
    { numRuns: runs(5000) },
  );
});

test.each([
  ["/v1/*", "/v1/", true],
  ["/v1/*", "/v1", false],
  ["*.png", "a/b.png", true],
  ["/a/*/c", "/a/c", false],
  ["/a/*/c", "/a/b/x/c", true],
  ["\\*", "*", true],
  ["\\*", "a", false],
  ["a\\\\*", "a\\b", true],
  ["", "", true],
  ["*", "", true],
  ["a*a", "a", false],
  ["line*", "line\nbreak", true],
])("%j and %j: %s", (text, value, expected) => {
  expect(new EntryMatcher(text).matches(value)).toBe(expected);
});

test("is and not are asked both", () => {
  const matcher = new EntryMatcher({ is: ["/v1/*", "/"], not: ["/v1/a*", "/v1/b"] });
  const values = ["/", "/v1/c", "/v1/b", "/v1/abc", "/v2"];
  expect(values.filter((value) => matcher.matches(value))).toEqual(["/", "/v1/c"]);
  expect(new EntryMatcher({ not: "a" }).matches("b")).toBe(true);
  expect(new EntryMatcher({ not: "a" }).matches("a")).toBe(false);
});

test("a backslash stands before a star or another only", () => {
  expect(cutPattern("a\\d")).toBe(undefined);
  expect(cutPattern("a\\")).toBe(undefined);
});

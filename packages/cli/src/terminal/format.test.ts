import { expect, test } from "vitest";
import { formatCount, formatSpan } from "./format.js";

test("counts say one or many", () => {
  const said = [0, 1, 2].flatMap((count) => [
    formatCount(count, "key"),
    formatCount(count, "policy"),
  ]);
  expect(said).toEqual(["0 keys", "0 policies", "1 key", "1 policy", "2 keys", "2 policies"]);
});

test("spans are in one unit, or in two if that is exact", () => {
  const said = [0, 40, 1500, 2.5e6, 60e6, 100e6, 100.5e6, 5400e6, 3661e6, 2 * 86_400e6, 169_200e6];
  expect(said.map((us) => formatSpan(us))).toEqual([
    "0 s",
    "40 µs",
    "1.5 ms",
    "2.5 s",
    "1 min",
    "1 min 40 s",
    "1.675 min",
    "1 h 30 min",
    "1.017 h",
    "2 d",
    "1 d 23 h",
  ]);
  expect(formatSpan(Number.POSITIVE_INFINITY)).toBe("for ever");
});

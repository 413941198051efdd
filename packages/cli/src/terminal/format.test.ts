import { expect, test } from "vitest";
import { formatCount } from "./format.js";

test("counts say one or many", () => {
  const said = [0, 1, 2].flatMap((count) => [
    formatCount(count, "key"),
    formatCount(count, "policy"),
  ]);
  expect(said).toEqual(["0 keys", "0 policies", "1 key", "1 policy", "2 keys", "2 policies"]);
});

import { describe, expect, test } from "vitest";
import type { RunScript } from "./clients/client.js";
import { RedisStore } from "./redis-store.js";

const client: RunScript = async () => [];

describe.each([
  ["maxBatch", 1000],
  ["maxInFlight", 1000],
  ["partitions", 16_384],
] as const)("the option %s", (option, most) => {
  const storeWith = (value: unknown): RedisStore =>
    new RedisStore({ client, [option]: value as number });

  test.each([1, 2, most])("takes %d", (value) => {
    expect(() => storeWith(value)).not.toThrow();
  });

  test("has a default", () => {
    expect(() => storeWith(undefined)).not.toThrow();
  });

  test.each([
    [0, "0"],
    [-1, "-1"],
    [most + 1, String(most + 1)],
    [1.5, "1.5"],
    [Number.NaN, "NaN"],
    [Number.POSITIVE_INFINITY, "Infinity"],
    ["many", '"many"'],
    [null, "null"],
    [{}, "an object"],
  ])("refuses %o and says what is allowed", (value, shown) => {
    const allowed = `a whole number from 1 to ${most.toLocaleString("en-US")}`;
    const message = `${option}: ${shown} is not allowed; expected ${allowed}`;
    const refusal = { name: "InvalidOptionError", option, allowed, message };
    expect(() => storeWith(value)).toThrow(expect.objectContaining(refusal) as Error);
  });
});

test("an option that there is none of is refused by its name", () => {
  const options = { client, maxBatches: 3 };
  expect(() => new RedisStore(options)).toThrow(/maxBatches: .*maxBatch, maxInFlight, partitions/);
});

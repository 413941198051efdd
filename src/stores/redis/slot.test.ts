import { expect, it } from "vitest";
import { slotOf } from "./slot.js";

it("agrees with the specification's check value", () => {
  expect(slotOf("123456789")).toBe(0x31c3 % 16_384);
});

it("agrees with CLUSTER KEYSLOT", () => {
  // redis-cli CLUSTER KEYSLOT foo → 12182, bar → 5061
  expect(slotOf("foo")).toBe(12_182);
  expect(slotOf("bar")).toBe(5061);
});

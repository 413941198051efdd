import { expect, it } from "vitest";
import { keyNameOf } from "../../core/identity.js";
import { placementBy, slotOf, tagIn, tagOfId } from "./slot.js";

it("agrees with the specification's check value", () => {
  expect(slotOf("123456789")).toBe(0x31c3 % 16_384);
});

it("agrees with CLUSTER KEYSLOT", () => {
  // redis-cli CLUSTER KEYSLOT foo → 12182, bar → 5061
  expect(slotOf("foo")).toBe(12_182);
  expect(slotOf("bar")).toBe(5061);
});

it("takes a tag outside ASCII by its bytes in UTF-8", () => {
  // redis-cli CLUSTER KEYSLOT 'naïve' → 2847
  expect(slotOf("naïve")).toBe(2847);
});

it("finds the tag of a key as Redis does", () => {
  // redis-cli CLUSTER KEYSLOT answers the same for each key as for its tag.
  expect(["a:{b}c", "{}{b}", "a{b", "a}b{c}d{e}", "{{b}}"].map(tagIn)).toEqual([
    "b",
    "{}{b}",
    "a{b",
    "c",
    "{b",
  ]);
});

it("gives each identity a tag of its own, or that of the slot in its id", () => {
  for (const [id, tag] of [
    ["abc", "abc"],
    ["{abc}de", "abc"],
  ] as const) {
    expect(tagOfId(id)).toBe(tag);
    expect(tagIn(keyNameOf("ns:p", id))).toBe(tag);
  }
  expect(["abc", "{abc}de"].map((id) => keyNameOf("ns:p", id))).toEqual([
    "ns:p:{abc}",
    "ns:p:{abc}de",
  ]);
});

it("puts what was given one slot on one partition, that slot's own text too", () => {
  const { tagOf, endOf } = placementBy(50);
  const tag = tagOf("slot");
  expect(["a", "b", "c"].map((id) => tagOf(`{slot}${id}`))).toEqual([tag, tag, tag]);
  expect(endOf("{slot}a")).toBe(`{${tag}}{slot}a`);
});

it("spreads identities over so many tags, evenly", () => {
  const { tagOf, endOf } = placementBy(4);
  expect(endOf("abc")).toBe(`{${tagOf("abc")}}abc`);
  const counts = new Map<string, number>();
  for (let i = 0; i < 4000; i++) {
    const tag = tagOf(`user-${i}`);
    counts.set(tag, (counts.get(tag) ?? 0) + 1);
  }
  expect([...counts.keys()].sort()).toEqual(["p0", "p1", "p2", "p3"]);
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
});

import { describe, expect, onTestFinished, test } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import { MemoryStore } from "../index.js";
import { ManualClock } from "../testing/index.js";
import {
  blockRuleKey,
  type PoliciesDocument,
  peekRuleKey,
  PolicySet,
  resetRuleKey,
  ruleKey,
  ruleKeyId,
  unblockRuleKey,
} from "./index.js";

const START_MS = 1_790_000_000_000;
const document: PoliciesDocument = {
  rules: [
    {
      name: "api",
      key: ["user", "route"],
      policy: { algorithm: "token-bucket", limit: 3, period: "1h" },
      candidate: { policy: { algorithm: "token-bucket", limit: 2, period: "1h" } },
    },
    { name: "all", policy: { algorithm: "token-bucket", limit: 100, period: "1h" } },
    { name: "old", mode: "off", policy: { algorithm: "token-bucket", limit: 1, period: "1h" } },
  ],
  overrides: [{ rule: "api", key: "user=big,route=/", policy: { limit: 10 } }],
};
const entries = { user: "a,b{c}%", route: "/" };

function setOn(store = new MemoryStore({ clock: new ManualClock(START_MS) })): PolicySet {
  const rules = new PolicySet({ source: document, store });
  onTestFinished(() => rules.close());
  return rules;
}

function outside(): PolicySet {
  const store = new OutsideStore(new ManualClock(START_MS));
  const rules = new PolicySet({ source: document, store });
  onTestFinished(() => rules.close());
  return rules;
}

test("a long key is found by what ruleKey writes of it", async () => {
  for (const rules of [setOn(), outside()]) {
    const long = { user: "a".repeat(5000), route: "/" };
    await rules.consume({ entries: long });
    const target = { rule: "api", key: ruleKey(["user", "route"], long) };
    expect((await peekRuleKey(rules, target)).remaining).toBe(2);
    expect(ruleKeyId(rules, target)).toBe(ruleKeyId(rules, { rule: "api", entries: long }));
    await blockRuleKey(rules, target, "1m");
    expect((await rules.peek({ entries: long })).reason).toBe("blocked");
    await resetRuleKey(rules, target);
    expect((await rules.peek({ entries: long })).remaining).toBe(3);
  }
  const near = { rule: "api", key: `sha256 of a long key: ${"a".repeat(42)}` };
  await expect(peekRuleKey(setOn(), near)).rejects.toThrow(
    "a key of the rule as ruleKey writes it",
  );
});

describe.each([
  ["a store inside the process", setOn],
  ["a store outside", outside],
])("on %s", (_, open) => {
  test.each([
    ["entries", { entries }],
    ["the key", { key: ruleKey(["user", "route"], entries) }],
  ])("a key named by %s is blocked, let in again and reset", async (__, how) => {
    const rules = open();
    const target = { rule: "api", ...how };
    const ask = { rule: "api", entries };
    await rules.consume(ask);
    await blockRuleKey(rules, target, "15m");
    expect(await rules.consume(ask)).toMatchObject({ allowed: false, reason: "blocked" });
    expect((await peekRuleKey(rules, target)).reason).toBe("blocked");
    expect((await rules.consume({ rule: "api", entries: { user: "x", route: "/" } })).allowed).toBe(
      true,
    );
    await unblockRuleKey(rules, target);
    expect(await rules.peek(ask)).toMatchObject({ allowed: true, remaining: 2 });
    await resetRuleKey(rules, target);
    expect((await rules.peek(ask)).remaining).toBe(3);
  });

  test("its candidate is reset with it, and an override keeps its limit", async () => {
    const rules = open();
    const big = { rule: "api", entries: { user: "big", route: "/" } };
    for (let i = 0; i < 4; i++) await rules.consume(big);
    expect((await peekRuleKey(rules, big)).remaining).toBe(6);
    await resetRuleKey(rules, big);
    const { decision } = (await rules.peek(big)).rules[0] ?? {};
    expect(decision?.remaining).toBe(10);
    expect(decision?.shadow?.[0]?.remaining).toBe(10);
  });

  test.each([
    ["no target", { rule: "api" }, "one of entries, key and id"],
    ["two", { rule: "api", entries, key: "user=a,route=b" }, "one of entries, key and id"],
    ["no such rule", { rule: "apo", entries }, 'did you mean "api"'],
    ["a rule that is off", { rule: "old", entries: {} }, "a rule that is not off"],
    ["a key of another form", { rule: "api", key: "user=a" }, "user=…,route=…"],
    ["a prefix", { rule: "api", key: "user=*" }, "user=…,route=…"],
    ["too few entries", { rule: "api", entries: { user: "a" } }, '"user", "route"'],
  ])("refuses %s", async (__, target, why) => {
    await expect(resetRuleKey(open(), target)).rejects.toThrow(why);
  });
});

describe("an id", () => {
  test("of a store outside stands for its key", async () => {
    const rules = outside();
    const ask = { rule: "api", entries };
    const id = ruleKeyId(rules, ask);
    await rules.consume(ask);
    await blockRuleKey(rules, { rule: "api", id }, Number.POSITIVE_INFINITY);
    expect((await rules.peek(ask)).reason).toBe("blocked");
    expect((await peekRuleKey(rules, { rule: "api", id })).reason).toBe("blocked");
    await unblockRuleKey(rules, { rule: "api", id });
    expect((await peekRuleKey(rules, { rule: "api", id })).remaining).toBe(2);
    await resetRuleKey(rules, { rule: "api", id });
    const { decision } = (await rules.peek(ask)).rules[0] ?? {};
    expect([decision?.remaining, decision?.shadow?.[0]?.remaining]).toEqual([3, 2]);
    expect(ruleKeyId(rules, { rule: "api", id })).toBe(id);
  });

  test("is in the event of what was done, and in no other", async () => {
    const rules = outside();
    const id = ruleKeyId(rules, { rule: "api", entries });
    const ids: unknown[] = [];
    rules.events.on("adjusted", (event) => ids.push([event.key, event.id]));
    await resetRuleKey(rules, { rule: "api", id });
    await resetRuleKey(rules, { rule: "api", entries });
    expect(ids).toEqual([
      [id, id],
      [ruleKey(["user", "route"], entries), undefined],
    ]);
  });

  test("is refused where the store has the keys, or as another text", async () => {
    const id = ruleKeyId(setOn(), { rule: "api", entries });
    await expect(resetRuleKey(setOn(), { rule: "api", id })).rejects.toThrow(
      "this store has the keys themselves",
    );
    const plain = new PolicySet({
      source: document,
      identity: "plain",
      store: new OutsideStore(),
    });
    onTestFinished(() => plain.close());
    await expect(resetRuleKey(plain, { rule: "api", id })).rejects.toThrow("the keys themselves");
    for (const bad of ["", "user=a,route=/", `${id}x`, "{a}", 5]) {
      const target = { rule: "api", id: bad as string };
      await expect(resetRuleKey(outside(), target)).rejects.toThrow("an id of 22 characters");
    }
  });
});

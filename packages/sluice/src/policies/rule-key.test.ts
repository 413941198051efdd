/** Identities: no two share a key, and an override can spell each. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import { checkKey } from "../core/key.js";
import { formFault, isInReach, keyValues } from "./override-key.js";
import { rolloutPlace } from "./rollout.js";
import { ruleKey } from "./rule-key.js";

const VALUES = fc.oneof(
  fc.string({
    unit: fc.constantFrom("a", ",", "=", "%", "*", "2", "C", "u", "\ud800"),
    maxLength: 6,
  }),
  fc.string({ unit: "binary" }),
);

test("two identities share a key only if they are one", () => {
  const names = ["user", "r,o=u*t%e"];
  const entries = fc.record({ user: VALUES, "r,o=u*t%e": VALUES });
  fc.assert(
    fc.property(entries, entries, (a, b) => {
      const keys = [ruleKey(names, a), ruleKey(names, b)];
      expect(keys[0] === keys[1]).toBe(JSON.stringify(a) === JSON.stringify(b));
    }),
    { numRuns: runs(3000) },
  );
});

test("every key can be the key of an override, and be read back", () => {
  fc.assert(
    fc.property(VALUES, VALUES, (user, route) => {
      const key = ruleKey(["user", "route"], { user, route }) ?? "";
      checkKey(key);
      expect([formFault(key), isInReach(key, ["user", "route"])]).toEqual([undefined, true]);
      expect(keyValues(key)).toEqual([user, route]);
    }),
    { numRuns: runs(1000) },
  );
});

test("absent entries make no key, and only own ones count", () => {
  expect(ruleKey(["user"], {})).toBe(undefined);
  expect(ruleKey(["constructor"], {})).toBe(undefined);
  expect(ruleKey(["user"], Object.create({ user: "inherited" }) as { user: string })).toBe(
    undefined,
  );
  const hostile = JSON.parse('{"__proto__":"a"}') as Record<string, string>;
  expect(ruleKey(["__proto__"], hostile)).toBe("__proto__=a");
  expect(ruleKey(["port"], { port: 80 })).toBe("port=80");
  expect(ruleKey([], {})).toBe("all");
});

test("a long identity becomes a digest, which no other identity spells", () => {
  const key = ruleKey(["user"], { user: "a".repeat(5000) }) ?? "";
  expect(key.length).toBeLessThan(100);
  expect(key).not.toBe(ruleKey(["user"], { user: "a".repeat(5001) }));
  expect(key).not.toContain("=");
});

test("a higher percentage reaches every key that a lower one does", () => {
  // Every percentage above a key's position reaches it, so only the position has to be sound.
  const places = Array.from({ length: 20_000 }, (_, i) => rolloutPlace("api", `user=${i}`));
  for (const percent of [1, 25, 50, 99]) {
    const share = places.filter((place) => place < percent).length / places.length;
    expect(Math.abs(share * 100 - percent)).toBeLessThan(1.5);
  }
  expect(Math.min(...places)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...places)).toBeLessThan(100);
});

test("each rule reaches other keys first", () => {
  const reached = (rule: string): readonly number[] =>
    Array.from({ length: 2000 }, (_, i) => i).filter((i) => rolloutPlace(rule, `user=${i}`) < 10);
  const both = reached("api").filter((i) => reached("login").includes(i));
  expect(both.length).toBeLessThan(60);
  expect(rolloutPlace("a", "b=c")).not.toBe(rolloutPlace("ab", "=c"));
});

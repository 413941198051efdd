/** Which policies have texts without loops, and what such a text of a batch has. */
import { expect, test } from "vitest";
import { type Rule, ruleOf } from "../../algorithms/rule.js";
import {
  calendarWindow,
  fixedWindow,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../index.js";
import { policyHeadOf } from "./batch.js";
import { scriptFor } from "./scripts.js";
import { isStraight } from "./straight.js";

const bucket = (limit: number): Rule => ruleOf(tokenBucket({ limit, period: "1m" }));
const window = (limit: number): Rule => ruleOf(fixedWindow({ limit, window: "1m" }));

/** The script of a batch of sets over these policies. */
function setsOver(...rules: readonly Rule[]): string {
  const kernels = new Set(rules.map(({ kernel }) => kernel));
  const sequence = isStraight(rules) ? rules.map(policyHeadOf) : undefined;
  return scriptFor({ kind: "sets", kernels, sequence }).source;
}

test("batches over a sequence of algorithms share a text without loops over policies", () => {
  const text = setsOver(bucket(7), window(5));
  expect(setsOver(bucket(8), window(6))).toBe(text);
  expect(setsOver(window(5), bucket(7))).not.toBe(text);
  const usual = text.slice(text.indexOf("\nlocal general\n"));
  expect(usual).toContain(
    "local limit1,period1,capacity1,maximum1,mode1 = ARGV[policies[indexes[1]].at + 1],",
  );
  expect(usual).toContain("call('SETRANGE', KEYS[before + 2], '0', new2)");
  expect(text).not.toMatch(/-- @|\bfast\.|ask\[/);
  expect(usual).not.toMatch(/\bfunction\b|return nil/);
});

test("all other batches share one with a loop, which calls functions", () => {
  const five = [bucket(1), bucket(2), bucket(3), bucket(4), bucket(5)];
  const text = setsOver(...five);
  expect(text).toContain(
    "new[i],available[i],rest[i],reset[i],expiry[i] = ask[i](stored[i], cost[i], length)",
  );
  expect(text).toContain("fast.b = function(");
  expect(text).not.toMatch(/-- @|\w#|new1/);
});

test("what has no fast path, numbers that change, or too many policies has no straight text", () => {
  expect(isStraight([bucket(1), window(1), bucket(2), window(2)])).toBe(true);
  expect(isStraight([bucket(1), window(1), bucket(2), window(2), bucket(3)])).toBe(false);
  expect(isStraight([ruleOf(slidingWindow({ limit: 1, window: "1m" }))])).toBe(true);
  expect(isStraight([bucket(1), ruleOf(slidingLog({ limit: 1, window: "1m" }))])).toBe(false);
  expect(isStraight([ruleOf(calendarWindow({ limit: 1, unit: "day" }))])).toBe(false);
});

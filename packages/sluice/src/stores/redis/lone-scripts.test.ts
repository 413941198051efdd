/** Which texts lone calls run, and how many a server is given. */
import { expect, test } from "vitest";
import { type Rule, ruleOf } from "../../algorithms/rule.js";
import { fixedWindow, slidingWindow, tokenBucket } from "../../index.js";
import { LoneScripts } from "./lone-scripts.js";

const bucket = (limit: number): Rule => ruleOf(tokenBucket({ limit, period: "1m" }));
const window = (limit: number): Rule => ruleOf(fixedWindow({ limit, window: "1m" }));

test("policies that are known ahead have their numbers in the text, all others in arguments", () => {
  const scripts = new LoneScripts();
  scripts.prepare([bucket(7)]);
  const known = scripts.of([bucket(7)]);
  const other = scripts.of([bucket(8)]);
  expect(known.numbers).toEqual([]);
  expect(other.numbers).toHaveLength(5);
  expect(known.script.source).toContain("mode1 = 7,60000,7000,");
  expect(other.script.source).toContain("mode1 = ARGV[4],ARGV[5],ARGV[6],ARGV[7],ARGV[8]\n");
  expect(scripts.of([bucket(9)]).script).toBe(other.script);
  expect(new LoneScripts().of([bucket(9)]).script).toBe(other.script);
});

test("a set has a text of its own, in its order", () => {
  const scripts = new LoneScripts();
  scripts.prepare([bucket(7), window(5)]);
  expect(scripts.of([bucket(7), window(5)]).numbers).toEqual([]);
  const turned = scripts.of([window(5), bucket(7)]);
  expect(turned.numbers).toHaveLength(8);
  expect(turned.script.source).toContain("mode2 = ARGV[8],ARGV[9],");
  expect(turned.script.source).not.toContain("-- @");
});

test("policies of other names that decide alike share a text, and past so many the general one is used", () => {
  const scripts = new LoneScripts();
  for (let limit = 1; limit <= 64; limit++) scripts.prepare([bucket(limit)]);
  scripts.prepare([bucket(65)]);
  scripts.prepare([bucket(64)]);
  expect(scripts.of([bucket(64)]).numbers).toEqual([]);
  expect(scripts.of([bucket(65)]).numbers).toHaveLength(5);
  const named = ruleOf(tokenBucket({ name: "another", limit: 64, period: "1m" }));
  expect(scripts.of([named]).script).toBe(scripts.of([bucket(64)]).script);
});

test("a usual call makes none of a fast path's functions", () => {
  const fading = ruleOf(slidingWindow({ limit: 1, window: "1m" }));
  const { source } = new LoneScripts().of([fading, bucket(1), window(1), fading]).script;
  const straight = source.slice(0, source.indexOf("\nlocal ARGV = "));
  // What turns expiries into lives is for tests, which bring a clock; a sliding window needs the other.
  expect(straight.match(/^.*\bfunction\b.*$/gm)).toEqual([
    "ttlOf = function(expiry)",
    "local function mulDiv(a, b, m)",
  ]);
  expect(straight).not.toMatch(/return nil|\bfast\b/);
});

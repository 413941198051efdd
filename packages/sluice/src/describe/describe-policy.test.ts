import { describe, expect, test } from "vitest";
import {
  calendarWindow,
  fixedWindow,
  gcra,
  type Policy,
  slidingLog,
  slidingWindow,
  tokenBucket,
  unlimited,
} from "../index.js";
import { describeAlgorithms, describeBound, describePolicy } from "./index.js";

describe("a policy in words", () => {
  test.each<[policy: Policy, words: string, bound: string]>([
    [
      tokenBucket({ limit: 20_000, period: "90s", burst: 2.5, name: "api" }),
      'token-bucket "api": 20,000 per 1.5 min, burst 2.5',
      "≤ 2.5 + 20,000·D / 1.5 min in every interval of length D",
    ],
    [
      tokenBucket({ limit: 10, period: "1d", refill: "interval" }),
      'token-bucket "token-bucket": 10 per 1 d, burst 10, refilled all at once',
      "≤ 10 + 10·⌈D / 1 d⌉ in every interval of length D",
    ],
    [
      gcra({ limit: 5, period: 1 }),
      'gcra "gcra": 5 per 1 ms, burst 1',
      "≤ 1 + 5·D / 1 ms in every interval of length D",
    ],
    [
      slidingLog({ limit: 5, window: "15m" }),
      'sliding-log "sliding-log": 5 in any 15 min',
      "≤ 5 in any 15 min",
    ],
    [unlimited(), 'unlimited "unlimited": no limit', "no bound"],
  ])("%j", (policy, words, bound) => {
    expect(describePolicy(policy)).toBe(words);
    expect(describeBound(policy)).toBe(bound);
  });

  test("of windows names the window", () => {
    expect(describeBound(fixedWindow({ limit: 3, window: "1h" }))).toMatch(/^≤ 3 in every .*1 h/);
    expect(describeBound(calendarWindow({ limit: 3, unit: "week" }))).toMatch(
      /^≤ 3 in every .*week/,
    );
    expect(describeBound(slidingWindow({ limit: 3, window: "1h" }))).toMatch(/^\S+ \d+ in any/);
  });

  test("is written in the reader's way", () => {
    const wording = { number: (n: number) => `${n}x`, span: (ms: number) => `${ms} Millisekunden` };
    const policy = tokenBucket({ limit: 2000, period: "1s" });
    expect(describePolicy(policy, wording)).toContain(
      ": 2000x per 1000 Millisekunden, burst 2000x",
    );
    expect(describeBound(policy, wording)).toContain("2000x·D / 1000 Millisekunden");
  });
});

test("every algorithm is listed with fields that its policies have", () => {
  const algorithms = describeAlgorithms();
  expect(algorithms.map(({ id }) => id)).toContain("token-bucket");
  expect(algorithms.length).toBeGreaterThanOrEqual(8);
  const limits = algorithms.filter(({ fields }) => fields.some(({ field }) => field === "limit"));
  expect(limits.map(({ id }) => id)).toEqual(
    algorithms.map(({ id }) => id).filter((id) => id !== "unlimited"),
  );
});

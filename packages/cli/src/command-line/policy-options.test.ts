import { gcra, leakyBucket, slidingLog, tokenBucket } from "sluice";
import { describe, expect, test } from "vitest";
import { parseOptions, UsageError } from "./options.js";
import { policiesFrom, POLICY_OPTIONS } from "./policy-options.js";

function policies(...argv: string[]) {
  return policiesFrom(parseOptions(POLICY_OPTIONS, argv).values);
}

describe("the policy options", () => {
  test("make the policy that the library makes", () => {
    expect(policies("--limit", "10", "--period", "1s")).toEqual([
      tokenBucket({ limit: 10, period: "1s" }),
    ]);
    expect(
      policies(
        "--algorithm",
        "leaky-bucket",
        "--limit",
        "2.5",
        "--period",
        "250",
        "--capacity",
        "7",
      ),
    ).toEqual([leakyBucket({ limit: 2.5, period: 250, capacity: 7 })]);
    expect(
      policies("--algorithm", "sliding-log", "--limit", "5", "--period", "1m", "--name", "login"),
    ).toEqual([slidingLog({ limit: 5, window: "1m", name: "login" })]);
    expect(
      policies(
        "--algorithm",
        "calendar-window",
        "--limit",
        "9",
        "--unit",
        "week",
        "--time-zone",
        "Asia/Tokyo",
      ),
    ).toMatchObject([{ unit: "week", timeZone: "Asia/Tokyo", weekStartsOn: "monday" }]);
  });

  test("take one policy or several as JSON", () => {
    const one = { algorithm: "gcra", name: "one", limit: 5, period: "1s" };
    const two = { ...one, name: "two" };
    expect(policies("--policy", JSON.stringify(one))).toEqual([gcra(one)]);
    expect(policies("--policy", JSON.stringify([one, two]))).toEqual([gcra(one), gcra(two)]);
  });

  test("take one policy in short", () => {
    expect(policies("--policy", "token-bucket:limit=50,period=1m,name=a")).toEqual([
      tokenBucket({ limit: 50, period: "1m", name: "a" }),
    ]);
    expect(policies("--policy", "leaky-bucket:limit=2.5,period=250,capacity=7")).toEqual([
      leakyBucket({ limit: 2.5, period: 250, capacity: 7 }),
    ]);
    expect(policies("--policy", "unlimited")).toMatchObject([{ algorithm: "unlimited" }]);
  });

  const wrongs: [argv: string[], message: RegExp][] = [
    [["--period", "1s"], /^--limit is missing; expected a number of units/],
    [["--limit", "10"], /^--period is missing; expected a duration/],
    [
      ["--limit", "0.0001", "--period", "1s"],
      /^--limit 0.0001: expected a number of units from 0 to/,
    ],
    [["--limit", "ten", "--period", "1s"], /^--limit "ten" is not a number/],
    [["--limit", "10", "--period", "soon"], /^--period "soon" is not a duration/],
    [
      ["--algorithm", "sliding-log", "--limit", "10", "--period", "x"],
      /^--period "x" is not a duration/,
    ],
    [
      ["--algorithm", "leaky", "--limit", "10"],
      /^--algorithm "leaky" is not one of token-bucket, gcra/,
    ],
    [["--algorithm", "tokenbucket", "--limit", "1"], /sliding-.* \(did you mean token-bucket\?\)$/],
    [
      ["--algorithm", "gcra", "--limit", "1", "--period", "1s", "--capacity", "3"],
      /^--capacity is for leaky-bucket; the algorithm is gcra$/,
    ],
    [
      ["--algorithm", "calendar-window", "--limit", "1", "--unit", "eon"],
      /^--unit "eon": expected "minute"/,
    ],
    [
      ["--algorithm", "calendar-window", "--limit", "1", "--unit", "day", "--period", "1s"],
      /^--period is for token/,
    ],
    [
      ["--limit", "1", "--period", "1s", "--refill", "daily"],
      /^--refill "daily": expected "continuous" or/,
    ],
    [["--limit", "1", "--period", "10us"], /^--period 0.01: expected a duration from 1 ms/],
    [["--policy", "{"], /^--policy is not JSON: "\{"/],
    [["--policy", "[]"], /^--policy/],
    [["--policy", "null"], /^--policy/],
    [["--policy", "gcra:limit=1"], /^--period is missing/],
    [
      ["--policy", "gcra:limit=1,limits=2"],
      /^--policy has no option "limits" \(did you mean limit\?\)$/,
    ],
    [["--policy", "gcra:"], /^--policy "" is not OPTION=VALUE, as in token-bucket/],
    [["--policy", "gcra:limit=1,period=1s", "--limit", "1"], /^--limit and --policy exclude/],
    [
      ["--policy", '{"algorithm":"gcra","limit":1}'],
      /^--policy: period is missing; expected a duration/,
    ],
    [
      ["--policy", '{"algorithm":"gcra"}', "--limit", "1"],
      /^--limit and --policy exclude each other$/,
    ],
  ];
  for (const [argv, message] of wrongs) {
    test(`say what is wrong with ${argv.join(" ")}`, () => {
      expect(() => policies(...argv)).toThrow(UsageError);
      expect(() => policies(...argv)).toThrow(message);
    });
  }
});

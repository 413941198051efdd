import { describe, expect, test } from "vitest";
import {
  describeOptions,
  durationOption,
  keyArgument,
  numberOption,
  parseOptions,
  UsageError,
} from "./options.js";

const TABLE = {
  limit: { type: "string", value: "N", help: "Units." },
  json: { type: "boolean", short: "j", help: "As JSON." },
} as const;

describe("options", () => {
  test("come with their values, and switches as whether they were given", () => {
    expect(parseOptions(TABLE, ["a", "--limit", "5", "-j", "b"])).toEqual({
      values: { limit: "5", json: true },
      positionals: ["a", "b"],
    });
    expect(parseOptions(TABLE, [])).toEqual({
      values: { limit: undefined, json: false },
      positionals: [],
    });
  });

  const wrongs: [argv: string[], message: string][] = [
    [["--limt", "5"], "unknown option --limt (did you mean --limit?)"],
    [["--quite-other"], "unknown option --quite-other"],
    [["-x"], "unknown option -x"],
    [["--limit"], "--limit needs a value"],
    [
      ["--limit", "-5"],
      "--limit needs a value; one that begins with a hyphen is written --limit=-5",
    ],
    [["--json=yes"], "--json takes no value"],
  ];
  for (const [argv, message] of wrongs) {
    test(`that are wrong are explained: ${argv.join(" ")}`, () => {
      expect(() => parseOptions(TABLE, argv)).toThrow(new UsageError(message));
    });
  }

  test("are listed in columns", () => {
    expect(describeOptions(TABLE)).toBe("  --limit N  Units.\n  --json     As JSON.");
  });
});

describe("a number", () => {
  test("must be one, and in its range", () => {
    expect(numberOption("cost", "2.5", { min: 0 })).toBe(2.5);
    for (const text of ["", "x", "-1", "NaN", "Infinity"]) {
      expect(() => numberOption("cost", text, { min: 0 })).toThrow(
        /^--cost ".*" is not a number of at least 0$/,
      );
    }
    expect(() => numberOption("calls", "1.5", { min: 1, max: 9, whole: true })).toThrow(
      '--calls "1.5" is not a whole number from 1 to 9',
    );
  });
});

describe("a duration", () => {
  test("has a unit, or is in milliseconds", () => {
    expect(["1s", "250us", "0", "1.5"].map((text) => durationOption("delay", text))).toEqual([
      1000, 0.25, 0, 1.5,
    ]);
    for (const text of ["", "soon", "-1s"]) {
      expect(() => durationOption("delay", text)).toThrow(/^--delay ".*" is not a duration/);
    }
  });
});

describe("the key", () => {
  test("is one argument, and well-formed", () => {
    expect(keyArgument(["user:42"])).toBe("user:42");
    expect(() => keyArgument([])).toThrow("<key> is missing");
    expect(() => keyArgument(["a", "b"])).toThrow('unexpected argument "b"; the key is "a"');
    expect(() => keyArgument([""])).toThrow(/^key: /);
  });
});

import { describe, expect, test } from "vitest";
import { InvalidOptionError } from "./errors.js";
import {
  checkBoolean,
  checkChoice,
  checkCount,
  checkFunction,
  checkList,
  checkOptions,
} from "./options.js";

describe("options", () => {
  test("come back as they are when all their names are known", () => {
    const options = { a: 1, b: undefined };
    expect(checkOptions("options", options, ["a", "b", "c"])).toBe(options);
    expect(checkOptions("options", Object.create(null), [])).toEqual({});
  });

  test.each([[undefined], [null], [5], ["a"], [true], [[]], [() => {}]])(
    "that are %o are refused",
    (value) => {
      expect(() => checkOptions("options", value, ["a"])).toThrow(
        expect.objectContaining({ option: "options", allowed: "an object" }),
      );
    },
  );

  test("with an unknown name are refused, naming it and the known ones", () => {
    expect(() => checkOptions("options", { limt: 5 }, ["limit", "period"])).toThrow(
      "limt: 5 is not allowed; expected only these options: limit, period",
    );
    expect(() => checkOptions("hooks", { onDeny: 5 }, ["onDenied"])).toThrow(
      expect.objectContaining({ option: "hooks.onDeny" }),
    );
  });

  test("out of JSON cannot smuggle in a prototype", () => {
    const options: unknown = JSON.parse('{"__proto__":{"a":1}}');
    expect(() => checkOptions("options", options, ["a"])).toThrow(
      expect.objectContaining({ option: "__proto__" }),
    );
  });
});

describe("a choice", () => {
  test("is one of the words", () => {
    expect(checkChoice("align", "first", ["clock", "first"])).toBe("first");
    expect(() => checkChoice("align", "First", ["clock", "first"])).toThrow(
      'align: "First" is not allowed; expected "clock" or "first"',
    );
  });
});

describe("a count", () => {
  test.each([1, 5, 10])("may be %d", (value) => {
    expect(checkCount("maxKeys", value, 1, 10)).toBe(value);
  });

  test.each([[0], [11], [1.5], [Number.NaN], [Infinity], ["5"], [5n], [null], [undefined]])(
    "may not be %o",
    (value) => {
      expect(() => checkCount("maxKeys", value, 1, 10)).toThrow(InvalidOptionError);
    },
  );
});

test("a function is a function", () => {
  expect(() => {
    checkFunction("hooks.onDenied", () => {});
  }).not.toThrow();
  for (const value of [undefined, null, {}, "f"]) {
    expect(() => {
      checkFunction("hooks.onDenied", value);
    }).toThrow(expect.objectContaining({ option: "hooks.onDenied", allowed: "a function" }));
  }
});

test("a list is an array", () => {
  for (const value of [undefined, null, {}, "list", new Set()]) {
    expect(() => {
      checkList("requests", value);
    }).toThrow(expect.objectContaining({ option: "requests", allowed: "an array" }));
  }
});

test("a boolean is true or false and nothing like it", () => {
  expect([checkBoolean("enforce", true), checkBoolean("enforce", false)]).toEqual([true, false]);
  for (const value of [undefined, null, 0, 1, "true", ""]) {
    expect(() => checkBoolean("enforce", value)).toThrow(
      expect.objectContaining({ option: "enforce", allowed: "true or false" }),
    );
  }
});

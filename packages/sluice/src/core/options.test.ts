import { describe, expect, test } from "vitest";
import { InvalidOptionError } from "./errors.js";
import {
  aCount,
  aText,
  asGiven,
  byDefault,
  checkBoolean,
  checkChoice,
  checkCount,
  checkFunction,
  checkList,
  filled,
  milliseconds,
  optional,
  optionReader,
  orFunction,
  textUpTo,
  unchecked,
} from "./options.js";

function checkOptions(object: string, options: unknown, names: readonly string[]): unknown {
  return optionReader<Record<string, unknown>>()(unchecked(...names)).known(options, object);
}

interface Options {
  readonly size: number;
  readonly every?: string | number | undefined;
  readonly by?: string | undefined;
  readonly onError?: ((error: Error) => void) | undefined;
  readonly cost?: number | (() => number) | undefined;
}

describe("an option reader", () => {
  const silent = (): void => {};
  const reader = optionReader<Options>()({
    size: aCount(1, 10),
    every: byDefault("1s", milliseconds(1e3, 60e6)),
    by: optional(textUpTo(3)),
    onError: byDefault(silent, checkFunction),
    cost: optional(orFunction(aCount(1, 5))),
  });

  test("answers all options, checked, with their defaults and in the units of the code", () => {
    expect(reader.read({ size: 4 })).toEqual({
      size: 4,
      every: 1000,
      by: undefined,
      onError: silent,
      cost: undefined,
    });
    const cost = (): number => 2;
    expect(reader.read({ size: 4, every: "2s", by: "ana", cost })).toMatchObject({
      every: 2000,
      by: "ana",
      cost,
    });
    expect(reader.read({ size: 4, every: undefined, cost: 5 })).toMatchObject({
      every: 1000,
      cost: 5,
    });
  });

  test("names an option as the caller wrote it", () => {
    const refused = (options: object, object?: string): unknown => {
      try {
        return reader.read(options, object);
      } catch (error) {
        return (error as InvalidOptionError).option;
      }
    };
    expect(refused({ size: 11 })).toBe("size");
    expect(refused({ size: 11 }, "retries")).toBe("retries.size");
    expect(refused({ size: 1, every: null }, "requests[2]")).toBe("requests[2].every");
    expect(refused({ size: 1, cost: 6 })).toBe("cost");
    expect(refused({ size: 1, cost: "6" })).toBe("cost");
    expect(refused({ size: 1, by: "anna" })).toBe("by");
    expect(refused({ size: 1, onError: 5 })).toBe("onError");
    expect(refused({})).toBe("size");
  });

  test("refuses an unknown name before a wrong value, and when it looks at names alone", () => {
    for (const how of ["read", "known"] as const) {
      expect(() => reader[how]({ siz: 4 })).toThrow(
        "only these options: size, every, by, onError, cost; did",
      );
      expect(() => reader[how](new Map())).toThrow("expected an object of options");
    }
    expect(reader.known({ size: "wrong" })).toEqual({ size: "wrong" });
  });

  test("gives its checks to readers that have more", () => {
    const more = optionReader<Options & { readonly file: string }>()({
      ...reader.checks,
      file: filled("a path"),
    });
    expect(more.read({ size: 1, file: "a" })).toMatchObject({ size: 1, every: 1000, file: "a" });
    expect(() => more.read({ size: 1, file: "" })).toThrow("expected a path");
    expect(() => more.read({ size: 1, file: { secret: 1 } })).toThrow("file: an object is not");
  });

  test("asks for a check of each option, and for no others", () => {
    // @ts-expect-error cost has none
    optionReader<Options>()(unchecked("size", "every", "by", "onError"));
    // @ts-expect-error there is no option "sise"
    optionReader<Pick<Options, "size">>()({ size: asGiven, sise: asGiven });
    expect(aText("five", (text) => text === "5")("n", "5")).toBe("5");
    expect(() => aText("five", (text) => text === "5")("n", "6")).toThrow("expected five");
  });
});

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
      "limt: (hidden) is not allowed; expected only these options: limit, period; did you mean limit?",
    );
    expect(() => checkOptions("hooks", { onDeny: 5 }, ["onDenied"])).toThrow(
      expect.objectContaining({ option: "hooks.onDeny" }),
    );
  });

  test.each([
    ["maxwait", "maxWait"],
    ["maxWiat", "maxWait"],
    ["wait", "maxWait"],
    ["pasword", "password"],
    ["timeOut", "timeout"],
    ["costs", "cost"],
    ["xyz", undefined],
    ["m", undefined],
    ["x".repeat(10_000), undefined],
  ])("with the unknown name %s are told what was meant", (name, meant) => {
    const known = ["cost", "maxWait", "password", "timeout"];
    const hint = meant === undefined ? "timeout$" : `timeout; did you mean ${meant}\\?$`;
    expect(() => checkOptions("options", { [name]: 1 }, known)).toThrow(new RegExp(hint));
  });

  test("that are something else are told where that belongs", () => {
    const known = ["policy", "store", "signal", "clock", "client", "cost", "maxWait", "fallback"];
    const refusal = (value: unknown): string => {
      try {
        checkOptions("options", value, known);
      } catch (error) {
        return String(error);
      }
      return "";
    };
    expect(refusal(5)).toContain("expected an object; pass { cost: 5 }");
    expect(refusal("5s")).toContain("; pass { maxWait }");
    expect(refusal("redis://:secret@h")).toContain("; pass { client }");
    expect(refusal({ algorithm: "gcra", limit: 5 })).toContain("; pass { policy }");
    expect(refusal([{ algorithm: "gcra" }])).toContain("; pass { policy }");
    expect(refusal({ submit() {}, secret: 1 })).toContain("; pass { store }");
    expect(refusal({ nowUs: () => 1 })).toContain("; pass { clock }");
    expect(refusal({ evalSha() {}, password: "x" })).toContain("; pass { client }");
    expect(refusal({ acquire() {}, x: 1 })).toContain("; pass { fallback }");
    expect(refusal(() => 1)).toContain("; pass { policy }");
    expect(refusal(Object.assign(new EventTarget(), { aborted: true }))).toContain("{ signal }");
    expect(refusal(Promise.resolve())).toContain("forgot await?");
    expect(refusal("secret")).toContain("options: a string of 6 characters is not allowed");
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
      'align: "First" is not allowed; expected "clock" or "first"; did you mean "first"?',
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

  test("that is text says which number was meant, if that one is allowed", () => {
    expect(() => checkCount("maxKeys", "5", 1, 10_000)).toThrow(
      'maxKeys: "5" is not allowed; expected a whole number from 1 to 10,000; a text, not a number: did you mean 5?',
    );
    expect(() => checkCount("maxKeys", "20", 1, 10)).toThrow(/from 1 to 10$/);
    expect(() => checkCount("maxKeys", "1.5", 1, 10)).toThrow(/from 1 to 10$/);
  });
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
  expect(() => checkBoolean("enforce", "false")).toThrow(
    'enforce: "false" is not allowed; expected true or false; a text: did you mean false?',
  );
  expect(() => checkBoolean("enforce", "no")).toThrow(/expected true or false$/);
});

import { inspect } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import {
  type ErrorCode,
  InvalidOptionError,
  SluiceError,
  StoreTimeoutError,
  StoreUnavailableError,
} from "./errors.js";

const cause = new Error("socket closed");

describe.each([
  {
    error: new InvalidOptionError("limit", -1, "a positive number", { cause }),
    name: "InvalidOptionError",
    code: "INVALID_OPTION",
    page: "docs/errors.md#invalid-option",
  },
  {
    error: new StoreUnavailableError("the store failed", { cause }),
    name: "StoreUnavailableError",
    code: "STORE_UNAVAILABLE",
    page: "docs/errors.md#store-unavailable",
  },
  {
    error: new StoreTimeoutError(250),
    name: "StoreTimeoutError",
    code: "STORE_TIMEOUT",
    page: "docs/errors.md#store-timeout",
  },
])("$name", ({ error, name, code, page }) => {
  test("is a SluiceError with a stable code, its own name and a page of the docs", () => {
    expect(error).toBeInstanceOf(SluiceError);
    expect(error).toBeInstanceOf(Error);
    expect({ name: error.name, code: error.code, docs: error.docs }).toEqual({
      name,
      code,
      docs: page,
    });
    expect(String(error)).toBe(`${name}: ${error.message}`);
  });
});

test("an error keeps its cause", () => {
  expect(new InvalidOptionError("limit", 0, "more", { cause }).cause).toBe(cause);
  expect(new StoreUnavailableError("gone", { cause }).cause).toBe(cause);
  expect("cause" in new StoreUnavailableError("gone")).toBe(false);
});

test("a subclass outside gets its own name", () => {
  class Mine extends SluiceError {}
  expect(new Mine("QUEUE_FULL" satisfies ErrorCode, "full")).toMatchObject({
    name: "Mine",
    docs: "docs/errors.md#queue-full",
  });
});

test("a timeout tells its deadline", () => {
  expect(new StoreTimeoutError(250)).toMatchObject({
    timeoutMs: 250,
    message: "the store did not answer within 250 ms",
  });
});

describe("InvalidOptionError", () => {
  test("names the option, the value and what is allowed, for people and for programs", () => {
    const error = new InvalidOptionError("policy[1].limit", "ten", "a number");
    expect(error).toMatchObject({ option: "policy[1].limit", value: "ten", allowed: "a number" });
    expect(error.message).toBe('policy[1].limit: "ten" is not allowed; expected a number');
  });

  test.each([
    [undefined, "undefined"],
    [null, "null"],
    [Number.NaN, "NaN"],
    [-Infinity, "-Infinity"],
    [-0, "0"],
    [10n, "10n"],
    [Symbol("s"), "a symbol"],
    [() => 1, "a function"],
    [{ a: [1, "x"] }, "an object"],
    [["x"], "an array"],
    [new Map(), "a Map"],
    [new AbortController(), "an AbortController"],
    [Promise.resolve(), "a promise"],
    ["ten", '"ten"'],
    ["", '""'],
    ["x".repeat(41), "a string of 41 characters"],
    ["redis://h:1", "a string of 11 characters"],
    ["u:p@h", "a string of 5 characters"],
    [{ toJSON: () => undefined }, "an object"],
    [{ big: 1n }, "an object"],
  ])("shows %o in a word", (value, shown) => {
    expect(new InvalidOptionError("o", value, "other").message).toBe(
      `o: ${shown} is not allowed; expected other${shown === "a promise" ? "; forgot await?" : ""}`,
    );
  });

  test("keeps its value out of every inspection", () => {
    const error = new InvalidOptionError("o", "ten", "other");
    expect(error.value).toBe("ten");
    expect(Object.keys(error).toSorted()).toEqual(["allowed", "code", "docs", "name", "option"]);
    expect(JSON.stringify(error)).not.toContain("ten");
    expect(error.propertyIsEnumerable("value")).toBe(false);
  });

  test("keeps no object: who holds the error gets nothing of what was passed", () => {
    const secret = { password: "hunter2" };
    const error = new InvalidOptionError("o", secret, "other");
    expect(error.value).toBe("an object");
    expect(inspect(error, { showHidden: true, depth: 9 })).not.toContain("hunter2");
  });

  test("shows a value that refuses to be shown", () => {
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    const hostile = {
      toJSON: (): never => {
        throw new Error("no");
      },
    };
    for (const value of [circular, hostile, Object.create(null)]) {
      expect(new InvalidOptionError("o", value, "other").message).toMatch(
        /^o: an object is not allowed/,
      );
    }
  });

  test("shows a long value in part", () => {
    expect(new InvalidOptionError("o", "x".repeat(10_000), "other").message.length).toBeLessThan(
      200,
    );
  });

  test("shows the long name of an unknown option in part", () => {
    expect(new InvalidOptionError("x".repeat(10_000), 1, "other").message.length).toBeLessThan(300);
  });
});

/** What could end a line, move a cursor, or turn the direction of text in a log or on a terminal. */
const HOSTILE =
  "\n\r\t\v\f\0\b\u0007\u001b[31m\u007f\u0085\u009b31m\u2028\u2029\u202a\u202e\u2066\u200f";
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;

describe("a message", () => {
  test.each([
    ["a string", HOSTILE],
    ["a key of an object", { [HOSTILE]: 1 }],
    ["a symbol's description", Symbol(HOSTILE)],
    ["a string cut short in the middle of an escape", `${"x".repeat(77)}${HOSTILE}`],
  ])("has no control characters where the value is %s", (_, value) => {
    expect(new InvalidOptionError("o", value, "other").message).not.toMatch(UNPRINTABLE);
  });

  test("has no control characters where the option's own name has some", () => {
    const error = new InvalidOptionError(`o.${HOSTILE}`, 1, "other");
    expect(error.message).not.toMatch(UNPRINTABLE);
    expect(error.option).toBe(`o.${HOSTILE}`);
  });

  test("has no control characters where a server's reply has some", () => {
    expect(new StoreUnavailableError(`the store failed: ${HOSTILE}`).message).not.toMatch(
      UNPRINTABLE,
    );
  });

  test("has no control characters whatever is refused", () => {
    fc.assert(
      fc.property(fc.anything(), fc.string({ unit: "binary" }), (value, option) => {
        expect(new InvalidOptionError(option, value, "other").message).not.toMatch(UNPRINTABLE);
      }),
      { numRuns: runs(1000) },
    );
  });
});

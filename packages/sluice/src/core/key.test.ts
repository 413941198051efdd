import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import { InvalidOptionError } from "./errors.js";
import { checkKey, checkName } from "./key.js";

const bytes = (text: string): number => new TextEncoder().encode(text).length;

describe("a key", () => {
  test.each([
    ["one character", "a"],
    ["a NUL", "\0"],
    ["braces", "{a}{b}"],
    ["control characters", "a\r\nb\u001b[0m"],
    ["an emoji of several code points", "👩‍👩‍👧‍👦"],
    ["a byte order mark", "\uFEFF"],
    ["the name of a prototype's property", "__proto__"],
    ["4,096 bytes of ASCII", "a".repeat(4096)],
    ["4,096 bytes of two-byte characters", "é".repeat(2048)],
    ["4,095 bytes of three-byte characters", "界".repeat(1365)],
    ["4,096 bytes of four-byte characters", "😀".repeat(1024)],
    ["4,096 bytes, mixed", `${"界".repeat(1365)}a`],
  ])("may be %s", (_, key) => {
    expect(() => {
      checkKey(key);
    }).not.toThrow();
  });

  test.each([
    ["empty", ""],
    ["4,097 bytes of ASCII", "a".repeat(4097)],
    ["4,098 bytes of two-byte characters", "é".repeat(2049)],
    ["4,097 bytes, mixed", `${"界".repeat(1365)}aa`],
    ["4,098 bytes of three-byte characters", "界".repeat(1366)],
    ["4,100 bytes of four-byte characters", "😀".repeat(1025)],
    ["a lone high surrogate", "a\uD800b"],
    ["a lone low surrogate", "\uDC00"],
    ["surrogates in the wrong order", "\uDC00\uD800"],
    ["half an emoji at the end", "😀".slice(0, 1)],
    ["a number", 1],
    ["undefined", undefined],
    ["null", null],
    ["an object", { toString: () => "k" }],
    ["a String object", Object("k")],
    ["a symbol", Symbol("k")],
  ])("may not be %s", (_, key) => {
    expect(() => {
      checkKey(key);
    }).toThrow(InvalidOptionError);
  });

  test("is measured in bytes of UTF-8 at every length", () => {
    const text = fc.string({ unit: "binary", minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 4097 }), (unit, target) => {
        const key = unit.repeat(Math.max(1, Math.round(target / bytes(unit))));
        let refused = false;
        try {
          checkKey(key);
        } catch {
          refused = true;
        }
        expect(refused).toBe(bytes(key) > 4096);
      }),
      { numRuns: runs(2000) },
    );
  });

  test.each([
    ["x".repeat(5000), "a string of 5000 characters", ""],
    ["", "an empty string", ""],
    ["alice\uD800", "a string of 6 characters", ""],
    [4711, "a number", "; make it a string: String(id)"],
    [{ user: "alice" }, "an object", ""],
    [Promise.resolve("alice"), "a promise", "; forgot await?"],
  ])(
    "that is refused is shown by its kind alone, for it names a person: %o",
    (key, shown, hint) => {
      const error = caught(() => {
        checkKey(key);
      });
      expect(error).toMatchObject({ option: "key", value: shown });
      expect(error.message).toBe(
        `key: ${shown} is not allowed; expected a well-formed string of 1 to 4096 bytes of UTF-8${hint}`,
      );
    },
  );
});

describe("a name", () => {
  test.each(["a", "A-Z_0.9", "x".repeat(64), "__proto__", "..."])("may be %s", (name) => {
    expect(checkName("name", name)).toBe(name);
  });

  test.each([
    ["empty", ""],
    ["65 characters long", "x".repeat(65), "a string of 65 characters"],
    ["with a space", "a b"],
    ["with a colon", "a:b"],
    ["with a brace", "{a}"],
    ["with a tilde", "a~b"],
    ["with a newline at its end", "a\n"],
    ["with a NUL", "a\0"],
    ["of other letters", "ä"],
    ["a number", 5],
    ["null", null],
    ["an array", ["a"], "an array"],
  ])("may not be %s", (_, name, shown: unknown = name) => {
    expect(() => checkName("policy[1].name", name)).toThrow(
      expect.objectContaining({ option: "policy[1].name", value: shown }),
    );
  });
});

function caught(act: () => void): InvalidOptionError {
  try {
    act();
  } catch (error) {
    if (error instanceof InvalidOptionError) return error;
  }
  return expect.fail("nothing was refused");
}

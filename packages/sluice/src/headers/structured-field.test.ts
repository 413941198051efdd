/** Structured fields against RFC 9651: vectors, and round trips of whatever the grammar can carry. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InvalidOptionError } from "../core/errors.js";
import { runs } from "../../test/support/runs.js";
import { decodeBase64, encodeBase64 } from "../core/base64.js";
import {
  type BareItem,
  type Dictionary,
  type Item,
  type List,
  MAX_DECIMAL,
  MAX_INTEGER,
  type Member,
  type Parameters,
} from "./structured-field.js";
import {
  MAX_FIELD_CHARACTERS,
  parseDictionary,
  parseItem,
  parseList,
} from "./structured-parser.js";
import { serializeDictionary, serializeItem, serializeList } from "./structured-serializer.js";

/** Written for this test after the rules of RFC 9651 §4.2 and the cases that httpwg/structured-field-tests names. */
const ITEMS: readonly (readonly [string, BareItem["value"] | undefined])[] = [
  ["42", 42],
  ["-0", 0],
  ["00", 0],
  ["-042", -42],
  ["999999999999999", MAX_INTEGER],
  ["-999999999999999", -MAX_INTEGER],
  ["1000000000000000", undefined],
  ["2,3", undefined],
  ["-a23", undefined],
  ["4-2", undefined],
  ["--0", undefined],
  ["1.5", 1.5],
  ["-1.125", -1.125],
  ["1.", undefined],
  [".5", undefined],
  ["1..4", undefined],
  ["1.5.4", undefined],
  ["1.1234", undefined],
  ["123456789012.1", 123_456_789_012.1],
  ["1234567890123.1", undefined],
  ["1e3", undefined],
  ['"foo bar"', "foo bar"],
  ['""', ""],
  ['"a \\"b\\" \\\\"', 'a "b" \\'],
  ['"foo', undefined],
  ['"foo\\"', undefined],
  ['"foo\\,"', undefined],
  ['"tab\t"', undefined],
  ['"line\n"', undefined],
  ['"füü"', undefined],
  ["'foo'", undefined],
  ["a_b-c.d3:f%00/*", "a_b-c.d3:f%00/*"],
  ["*foo", "*foo"],
  ["fooBar", "fooBar"],
  ["3foo", undefined],
  ["foo bar", undefined],
  ["\u212Aelvin", undefined],
  [":aGVsbG8=:", new TextEncoder().encode("hello")],
  [":aGVsbG8:", new TextEncoder().encode("hello")],
  ["::", new Uint8Array()],
  [":iZ==:", Uint8Array.of(0x89)],
  [":_-Ah:", undefined],
  [":aGVsbG8=", undefined],
  [":aGVsb G8=:", undefined],
  [":=aGVsbG8=:", undefined],
  [":aGVsbG8==:", undefined],
  [":a:", undefined],
  ["?1", true],
  ["?0", false],
  ["?T", undefined],
  ["?", undefined],
  ["@1659578233", 1_659_578_233],
  ["@-62135596800", -62_135_596_800],
  ["@1659578233.12", undefined],
  ["@", undefined],
  ['%"f%c3%bc%c3%bc"', "füü"],
  ['%"foo %22bar%22 \\ baz"', 'foo "bar" \\ baz'],
  ['%"BOM: %ef%bb%bf"', "BOM: \uFEFF"],
  ['%"f%C3%BC"', undefined],
  ['%"%c3%28"', undefined],
  ['%"%a0%a1"', undefined],
  ['%"%e2%28%a1"', undefined],
  ['%"%a', undefined],
  ['%"foo', undefined],
  ["%foo", undefined],
  ['%"\t"', undefined],
  ["", undefined],
  ["   ", undefined],
  ["  1  ", 1],
  ["\t1", undefined],
  ["1\t", undefined],
];

describe("an item", () => {
  test.each(ITEMS)("%j is read as %o", (field, value) => {
    expect(parseItem(field)?.item.value).toEqual(value);
  });

  test("has parameters, of which the last of one name counts", () => {
    expect(parseItem('abc;a=1;  b;c=?0;a="x"')?.parameters).toEqual(
      new Map<string, BareItem>([
        ["a", { kind: "string", value: "x" }],
        ["b", { kind: "boolean", value: true }],
        ["c", { kind: "boolean", value: false }],
      ]),
    );
  });

  test.each(["a;A=1", "a;1=1", "a; =1", "a;b =1", "a;b= 1", "a ;b", "a;", "a;b=", "a;b=(1 2)"])(
    "%j has malformed parameters",
    (field) => {
      expect(parseItem(field)).toBeUndefined();
    },
  );
});

describe("a list", () => {
  test.each([
    ["", ""],
    ["1,2", "1, 2"],
    ["1 \t ,\t 2", "1, 2"],
    ['"a";q=1;w=60,"b"', '"a";q=1;w=60, "b"'],
    ["()", "()"],
    ["( 1  2;a ) ;b", undefined],
    ["( 1  2;a );b", "(1 2;a);b"],
    ["(1 2", undefined],
    ['("a""b")', undefined],
    ["(1,2)", undefined],
    ["((1))", undefined],
    ["1,", undefined],
    ["1,,2", undefined],
    [",", undefined],
    ["1 2", undefined],
  ])("%j is the canonical %j", (field, canonical) => {
    const list = parseList(field);
    expect(list && serializeList(list)).toBe(canonical);
  });
});

describe("a dictionary", () => {
  test.each([
    ["", ""],
    ["limit=100, remaining=50,reset=5", "limit=100, remaining=50, reset=5"],
    ["a=1,b=2,a=3", "a=3, b=2"],
    ["a, b;x=1, c=?1", "a, b;x=1, c"],
    ["a=(1 2);x", "a=(1 2);x"],
    ["a=?0", "a=?0"],
    ["A=1", undefined],
    ["a=1,", undefined],
    ["a =1", undefined],
    ['"a"=1', undefined],
    ["=1", undefined],
  ])("%j is the canonical %j", (field, canonical) => {
    const dictionary = parseDictionary(field);
    expect(dictionary && serializeDictionary(dictionary)).toBe(canonical);
  });
});

const characters = (from: string): fc.Arbitrary<string> => fc.constantFrom(...from.split(""));
const LOWER = "abcdefghijklmnopqrstuvwxyz";
const ALPHANUMERIC = `${LOWER}${LOWER.toUpperCase()}0123456789`;

function word(first: string, rest: string): fc.Arbitrary<string> {
  return fc
    .tuple(characters(first), fc.string({ unit: characters(rest), maxLength: 8 }))
    .map((parts) => parts.join(""));
}

const key = word(`${LOWER}*`, `${LOWER}0123456789_-.*`);
const whole = fc.integer({ min: -MAX_INTEGER, max: MAX_INTEGER });
const bareItem: fc.Arbitrary<BareItem> = fc.oneof(
  whole.map((value) => ({ kind: "integer" as const, value })),
  whole.map((value) => ({ kind: "date" as const, value })),
  whole.map((thousandths) => ({ kind: "decimal" as const, value: thousandths / 1000 })),
  fc
    .string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) })
    .map((value) => ({ kind: "string" as const, value })),
  word(`${ALPHANUMERIC.slice(0, 52)}*`, `${ALPHANUMERIC}!#$%&'*+-.^_\`|~:/`).map((value) => ({
    kind: "token" as const,
    value,
  })),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => ({
    kind: "bytes" as const,
    value: Uint8Array.from(bytes),
  })),
  fc.boolean().map((value) => ({ kind: "boolean" as const, value })),
  fc.string({ unit: "grapheme" }).map((value) => ({ kind: "display" as const, value })),
);
const parameters: fc.Arbitrary<Parameters> = fc
  .array(fc.tuple(key, bareItem), { maxLength: 4 })
  .map((entries) => new Map(entries));
const item: fc.Arbitrary<Item> = fc.record(
  { item: bareItem, parameters },
  { noNullPrototype: true },
);
const member: fc.Arbitrary<Member> = fc.oneof(
  item,
  fc.record({ items: fc.array(item, { maxLength: 3 }), parameters }, { noNullPrototype: true }),
);
const list: fc.Arbitrary<List> = fc.array(member, { maxLength: 5 });
const dictionary: fc.Arbitrary<Dictionary> = fc
  .array(fc.tuple(key, member), { maxLength: 5 })
  .map((entries) => new Map(entries));

describe("round trips", () => {
  test("an item survives", () => {
    fc.assert(
      fc.property(item, (value) => {
        expect(parseItem(serializeItem(value))).toEqual(value);
      }),
      { numRuns: runs(100) },
    );
  });

  test("a list survives, whatever blanks are between its members", () => {
    fc.assert(
      fc.property(list, (value) => {
        expect(parseList(` ${serializeList(value)} `)).toEqual(value);
      }),
      { numRuns: runs(100) },
    );
  });

  test("a dictionary survives, in its order", () => {
    fc.assert(
      fc.property(dictionary, (value) => {
        const back = parseDictionary(serializeDictionary(value));
        expect(back).toEqual(value);
        expect([...(back ?? new Map()).keys()]).toEqual([...value.keys()]);
      }),
      { numRuns: runs(100) },
    );
  });

  test("what is read from any text is written in a form that is read the same", () => {
    const piece = fc.oneof(
      fc.constantFrom(...'"\\:?@%;=,()*- \t.'.split(""), "?1", "a", "1", "%22", "%c3%bc"),
      fc.string({ maxLength: 3 }),
    );
    const field = fc.array(piece, { maxLength: 20 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(field, (text) => {
        const value = parseList(text);
        if (value !== undefined) expect(parseList(serializeList(value))).toEqual(value);
      }),
      { numRuns: runs(2000) },
    );
  });

  test("base64 survives, as the platform's own", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(encodeBase64(bytes)).toBe(Buffer.from(bytes).toString("base64"));
        expect(decodeBase64(encodeBase64(bytes))).toEqual(Uint8Array.from(bytes));
      }),
      { numRuns: runs(100) },
    );
  });
});

describe("serializing", () => {
  test.each<[BareItem, string]>([
    [{ kind: "decimal", value: 1 }, "1.0"],
    [{ kind: "decimal", value: 0.0625 }, "0.062"],
    [{ kind: "decimal", value: -0.0001 }, "0.0"],
    [{ kind: "decimal", value: 1.25 }, "1.25"],
    [{ kind: "integer", value: -0 }, "0"],
    [{ kind: "string", value: 'a"b\\c' }, '"a\\"b\\\\c"'],
    [{ kind: "display", value: 'ü"%' }, '%"%c3%bc%22%25"'],
  ])("%o becomes %s", (value, text) => {
    expect(serializeItem({ item: value, parameters: new Map() })).toBe(text);
  });

  test.each<BareItem>([
    { kind: "integer", value: MAX_INTEGER + 1 },
    { kind: "integer", value: 1.5 },
    { kind: "decimal", value: MAX_DECIMAL + 1 },
    { kind: "decimal", value: Number.NaN },
    { kind: "date", value: Number.POSITIVE_INFINITY },
    { kind: "string", value: "a\r\nSet-Cookie: x=1" },
    { kind: "string", value: "ü" },
    { kind: "token", value: "a b" },
    { kind: "token", value: "" },
    { kind: "display", value: "\uD800" },
  ])("%o is refused", (value) => {
    expect(() => serializeItem({ item: value, parameters: new Map() })).toThrow(InvalidOptionError);
    const withParameter = new Map([["a", value]]);
    expect(() =>
      serializeItem({ item: { kind: "boolean", value: true }, parameters: withParameter }),
    ).toThrow(InvalidOptionError);
  });

  test("a key that is none is refused", () => {
    const bare: BareItem = { kind: "boolean", value: true };
    for (const name of ["A", "", "a b", "a=1", "a\n"]) {
      const value = { item: bare, parameters: new Map([[name, bare]]) };
      expect(() => serializeItem(value)).toThrow(InvalidOptionError);
    }
  });
});

describe("hostile input", () => {
  test("never throws", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        parseItem(text);
        parseList(text);
        parseDictionary(text);
      }),
      { numRuns: runs(100) },
    );
  });

  test.each(['"', "(", ";a", "a,", '%"%c3', ":", "a=(", "a;a", "\\", " ", "1", "(1 "])(
    "%j over and over is read or refused without a deep stack",
    (piece) => {
      const text = piece.repeat(Math.floor(MAX_FIELD_CHARACTERS / piece.length));
      expect(() => [parseItem(text), parseList(text), parseDictionary(text)]).not.toThrow();
    },
  );

  test("a field that is too long is ignored", () => {
    const longest = "a".repeat(MAX_FIELD_CHARACTERS);
    expect(parseItem(longest)).toBeDefined();
    expect(parseItem(`${longest}a`)).toBeUndefined();
  });
});

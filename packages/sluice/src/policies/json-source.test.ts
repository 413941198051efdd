/** The JSON reader against JSON.parse, and the lines that it adds. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import { readJson } from "./json-source.js";
import { type SourceNode, valueOf } from "./source-node.js";

test("every JSON text is read as JSON.parse reads it, however it is laid out", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), fc.nat({ max: 4 }), (text, spaces) => {
      const value: unknown = JSON.parse(text);
      const laidOut = JSON.stringify(value, undefined, spaces);
      expect(valueOf(readJson(laidOut))).toEqual(value);
    }),
    { numRuns: runs(500) },
  );
});

test("no other text is read", () => {
  const parses = (read: (text: string) => unknown, text: string): boolean => {
    try {
      read(text);
      return true;
    } catch {
      return false;
    }
  };
  const pieces = fc.constantFrom(
    ...'{ } [ ] , : " 0 -1 1e5 01 . true nul null \'a\' \\u0041 \\x \n \t // "a" "b":1 \u00a0 \uFEFF'.split(
      " ",
    ),
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
      const text = parts.join("");
      // Two of one name are ours to refuse, and a mark at the start is ours to skip.
      fc.pre(!/"b":1,.*"b":1/s.test(text) && !text.startsWith("\uFEFF"));
      expect([text, parses(readJson, text)]).toEqual([text, parses(JSON.parse, text)]);
    }),
    { numRuns: runs(3000) },
  );
});

test("values know their lines", () => {
  const lines: [unknown, number | undefined][] = [];
  const visit = (node: SourceNode): void => {
    if (node.kind === "scalar") lines.push([node.value, node.line]);
    else for (const each of node.kind === "list" ? node.items : node.entries.values()) visit(each);
  };
  visit(readJson('\uFEFF{\r\n "a": 1,\n\n "b": [\n true, null],\n "c": {"d":\n "x\\ny"}\n}'));
  expect(lines).toEqual([
    [1, 2],
    [true, 5],
    [null, 5],
    ["x\ny", 7],
  ]);
});

test.each([
  ['{\n"a": 1,\n"a": 2}', 3, '"a" appears twice in one object'],
  ["[1,\n// why\n2]", 2, "JSON has no comments"],
  ["[1,\n]", 2, "allows no comma after the last item"],
  ["{'a': 1}", 1, "only double quotes"],
  ['["a\nb"]', 1, "closing"],
  ['["\\d"]', 1, "a backslash is written"],
  ["[1", 1, 'ends where "," or "]" is expected'],
  ["[1] 2", 1, "the end, after the last bracket"],
  ["[".repeat(20_000), 1, "nested more than 32 levels deep"],
])("what is wrong with %j is told with its line", (text, line, message) => {
  expect(() => readJson(text)).toThrow(expect.objectContaining({ line }));
  expect(() => readJson(text)).toThrow(message);
});

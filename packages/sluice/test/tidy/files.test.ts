/** Files say what they are for, and stay short, as do functions; what they export has a name of its own. */
import { expect, test } from "vitest";
import {
  exportsOf,
  functionsOf,
  isTest,
  linesOf,
  openingOf,
  type Source,
  sourcesIn,
} from "./sources.js";

const MAX_FILE_LINES = 400;
const MAX_FUNCTION_LINES = 60;

/** Functions that may be longer, by file. */
const LONG: Readonly<Record<string, string>> = {
  // On the server a call costs what a line of it does: what their twins call stands inline.
  "algorithms/consume-one.lua": "consumeOne",
  "algorithms/decide.lua": "decide",
};

const library = sourcesIn("packages/sluice/src", [".ts", ".lua"]).filter(
  (source) => !isTest(source),
);
const program = sourcesIn("packages/cli/src", [".ts"]).filter((source) => !isTest(source));
const all = [
  ...library,
  ...program,
  ...sourcesIn("scripts", [".mjs"]),
  ...sourcesIn("bench", [".mjs"]),
];

/** Without docstrings, which editors show by themselves: an example for each verb must not tear a class apart. */
const bare = (text: string): string => text.replaceAll(/^ *\/\*\*[^]*?\*\/\n/gm, "");

function tooLong(of: readonly Source[]): readonly string[] {
  const files = of
    .map(({ path, text }) => ({ what: path, lines: linesOf(bare(text)), most: MAX_FILE_LINES }))
    .filter(({ lines, most }) => lines > most);
  const functions = of.flatMap((source) =>
    functionsOf(source)
      .filter(({ name, lines }) => lines > MAX_FUNCTION_LINES && LONG[source.path] !== name)
      .map(({ name, lines }) => ({ what: `${name} in ${source.path}`, lines })),
  );
  return [...files, ...functions].map(({ what, lines }) => `${what}: ${lines} lines`);
}

/** Names that several files export, with these. */
function sharedNames(of: readonly Source[]): readonly string[] {
  const files = new Map<string, string[]>();
  for (const source of of) {
    for (const name of exportsOf(source)) {
      files.set(name, [...(files.get(name) ?? []), source.path]);
    }
  }
  return [...files]
    .filter(([, paths]) => paths.length > 1)
    .map(([name, paths]) => `${name}: ${paths.join(", ")}`);
}

/** Three words, not a directive to some tool. */
const saysSomething = (source: Source): boolean =>
  /(?:[a-z]\w*\W+){2}\w/i.test(openingOf(source)) && !openingOf(source).startsWith("@");

test("all kinds of files are read", () => {
  expect(library.filter(({ path }) => path.endsWith(".ts")).length).toBeGreaterThan(100);
  expect(library.filter(({ path }) => path.endsWith(".lua")).length).toBeGreaterThan(10);
  expect(all.length).toBeGreaterThan(library.length + 40);
});

test("no file and no function is too long", () => {
  expect(tooLong(all)).toEqual([]);
});

test("every file opens with a comment that says what it is for", () => {
  expect(all.filter((source) => !saysSomething(source)).map(({ path }) => path)).toEqual([]);
});

test("no two files export the same name, but adapters, of which users import one", () => {
  const shared = sharedNames(library.filter(({ path }) => path.endsWith(".ts")));
  expect(
    shared.filter((name) => !/^rateLimit: (?:adapters\/[\w-]+\.ts(?:, |$))+$/.test(name)),
  ).toEqual([]);
  expect(sharedNames(program)).toEqual([]);
});

const body = (lines: number): string => "\n  a();".repeat(lines - 2);

test.each([
  ["a.ts", "f", (n: number) => `export function f(): void {${body(n)}\n}`],
  ["a.ts", "f", (n: number) => `export const f = async (): Promise<void> => {${body(n)}\n};`],
  ["a.ts", "f", (n: number) => `export const a = {\n f() {${body(n)}\n}\n};`],
  ["a.ts", "#f", (n: number) => `class A {\n async #f<T>(): Promise<T> {${body(n)}\n}\n}`],
  ["a.ts", "g", (n: number) => `function f() {\n}\nf(function g() {${body(n)}\n});`],
  ["a.mjs", "f", (n: number) => `function f() {${body(n)}\n}`],
  ["a.lua", "f", (n: number) => `local function f()${body(n)}\nend`],
])("in %s the length of %s is seen", (path, name, make) => {
  const found = tooLong([{ path, text: make(MAX_FUNCTION_LINES + 1) }]);
  expect(found).toEqual([`${name.replace("#", "")} in ${path}: ${MAX_FUNCTION_LINES + 1} lines`]);
  expect(tooLong([{ path, text: make(MAX_FUNCTION_LINES) }])).toEqual([]);
});

test("the functions that may be longer are", () => {
  const long = library.filter(({ path }) => path in LONG);
  expect(Object.keys(LONG)).toEqual(long.map(({ path }) => path));
  for (const source of long) {
    const lines = functionsOf(source).find(({ name }) => name === LONG[source.path])?.lines;
    expect(lines).toBeGreaterThan(MAX_FUNCTION_LINES);
  }
});

test("the length of a file is seen", () => {
  expect(tooLong([{ path: "a.ts", text: "a();\n".repeat(401) }])).toEqual(["a.ts: 401 lines"]);
  expect(tooLong([{ path: "a.ts", text: "a();\n".repeat(400) }])).toEqual([]);
  const documented = "/** It is called. */\na();\n";
  expect(tooLong([{ path: "a.ts", text: documented.repeat(400) }])).toEqual([]);
  expect(tooLong([{ path: "a.ts", text: documented.repeat(401) }])).toEqual(["a.ts: 401 lines"]);
});

test.each([
  ["/** What it is for. */\n", true],
  ["#!/usr/bin/env node\n/**\n * What it\n * is for.\n */\n", true],
  ["-- What it is for.\n", true],
  ["// What it is for.\n", true],
  ["// @ts-check this or that\n", false],
  ["/** */\n", false],
  ['import "a";\n/** What it is for. */\n', false],
])("whether %j opens with words is seen", (text, says) => {
  expect(saysSomething({ path: "a.ts", text })).toBe(says);
});

test("exports of the same name are seen", () => {
  const files = [
    "export interface A {}\nexport const B = 1, C = 2;",
    'export type A = 1;\nexport { C } from "./c.js";\nconst B = 2;',
    "const D = 1;\nfunction C() {}\nexport { D as B };\nexport abstract class E {}",
    "export function E(): void {}\nexport const A = 1;\nexport type F = 1;\nexport enum F {}",
  ].map((text, i) => ({ path: `${i}.ts`, text }));
  expect(sharedNames(files)).toEqual(["A: 0.ts, 1.ts, 3.ts", "B: 0.ts, 2.ts", "E: 2.ts, 3.ts"]);
});

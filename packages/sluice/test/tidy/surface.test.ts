/** What users can import: every type that an export names has a name too, and all of it says what it is. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { packedPages } from "../../../../scripts/pages-to-pack.mjs";
import { librarySources, programSources } from "../../../../scripts/library-sources.mjs";
import {
  type Documented,
  documentedIn,
  type Id,
  keyOf,
  Sources,
} from "../../../../scripts/public-surface.mjs";

type Entries = Readonly<Record<string, string>>;

/** Types that can be reached from an entry point, and be imported neither from it nor from "sluice". */
function forgottenExports(sources: Sources, entries: Entries): readonly string[] {
  const core = new Set([...sources.exportsOf(entries["sluice"] ?? "").values()].map(keyOf));
  return Object.entries(entries).flatMap(([entry, file]) => {
    const exported = [...sources.exportsOf(file).values()];
    const own = new Set(exported.map(keyOf));
    return [...sources.reachable(exported).keys()]
      .filter((key) => !own.has(key) && !core.has(key))
      .map((key) => `${entry}: ${key}`);
  });
}

/**
 * What users never call or make themselves: errors, which they catch; what Nest makes from decorators, which examples/http/nest
 * shows; classes of which only the type is exported; and what the library asks of a store, or of a source of policies,
 * through its port.
 */
const NOT_CALLED =
  /^(?:\w+Error|(?:Skip)?RateLimit(?:Exception|Gates|Guard)?(?:\.\w+)?|RateLimitModule|KeyspaceRegistry(?:\.\w+)?|StoreCounts(?:\.\w+)?|\w+Store\.(?:submit|hurry|executeSync|prepare|isSplit)|(?:PoliciesFile|PublishedPolicies)\.(?:before|heardUs|look|watch))$/;

/** All that users see, once each. */
function documented(sources: Sources, entries: Entries): readonly Documented[] {
  const ids = new Map<string, Id>();
  for (const file of Object.values(entries)) {
    for (const id of sources.exportsOf(file).values()) ids.set(keyOf(id), id);
  }
  // The shapes of other libraries are theirs.
  return [...ids.values()]
    .filter(({ file }) => !file.endsWith("-types.ts") && !file.includes("/redis/clients/"))
    .flatMap((id) => documentedIn(sources, id));
}

/** What lacks a docstring, or a part of it that its kind must have. */
function undocumented(all: readonly Documented[]): readonly string[] {
  return all.flatMap(({ name, kind, docstring }) => {
    if (docstring === "") return [`${name}: no docstring`];
    if ((kind !== "verb" && kind !== "class") || NOT_CALLED.test(name)) return [];
    return ["@throws", "@example"]
      .filter((tag) => !docstring.includes(tag))
      .map((tag) => `${name}: no ${tag}`);
  });
}

const sources = new Sources();
const entries = { ...librarySources(), ...programSources() };

test("every type that can be reached from an entry point can be imported from it, or from sluice", () => {
  expect(forgottenExports(sources, entries)).toEqual([]);
});

test("every class and every function that users call is on a page of the docs", () => {
  const pages = packedPages().filter((page) => !page.includes("/decisions/"));
  const words = new Set(pages.flatMap((page) => readFileSync(page, "utf8").match(/\w+/g) ?? []));
  const called = documented(sources, entries)
    .filter(({ kind, name }) => /^(?:verb|class)$/.test(kind) && !name.includes("."))
    .map(({ name }) => name)
    .filter((name) => !NOT_CALLED.test(name));
  expect(called.length).toBeGreaterThan(70);
  expect(called.filter((name) => !words.has(name))).toEqual([]);
});

/** A package of these files, of which index.ts is the entry point. */
function packageOf(files: Readonly<Record<string, string>>): Sources {
  return new Sources((file) => files[file] ?? "");
}

test.each([
  ["a member", "export interface A { readonly b: Hidden }"],
  ["an argument", "export function a(b: readonly Hidden[]): void {}"],
  ["an overload", "export function a(b: Hidden): void;\nexport function a(b: unknown): void {}"],
  ["what a method answers", "export class A { async b(): Promise<Hidden> { return 1; } }"],
  ["a class that is extended", "export class A extends Hidden {}"],
  ["what an interface extends", "export interface A extends Readonly<Hidden> {}"],
  [
    "a type that is not exported itself",
    "interface Between { c: Hidden }\nexport type A = Between;",
  ],
  ["a constraint", "export type A<T extends Hidden> = T;"],
])("a forgotten export is seen in %s", (_, text) => {
  const hidden = 'import type { Hidden } from "./hidden.js";\n';
  const forgotten = packageOf({
    "index.ts": hidden + text,
    "hidden.ts": "export interface Hidden {}",
  });
  const found = forgottenExports(forgotten, { sluice: "index.ts" });
  expect(found).toContain("sluice: hidden.ts#Hidden");
});

test("what is private, code or exported under another name is not forgotten", () => {
  const fine = packageOf({
    "index.ts":
      'import type { B } from "./b.js";\nimport { C } from "./b.js";\nexport type { B as Renamed } from "./b.js";\n' +
      "export class A<T> { #c: C = new C(); private d?: C; e(): B { const f: C = this.#c; return f; } t?: T }",
    "b.ts": "export interface B {}\nexport class C {}",
  });
  expect(forgottenExports(fine, { sluice: "index.ts" })).toEqual([]);
});

test("what sluice exports need not be exported by a subpath, and what a subpath does must by sluice", () => {
  const files = {
    "index.ts": 'export type { B } from "./b.js";',
    "sub.ts":
      'export type * from "./c.js";\nimport type { B } from "./b.js";\nexport const a: B = 1;',
    "b.ts": 'import type { C } from "./c.js";\nexport interface B { c: C }',
    "c.ts": "export interface C {}",
  };
  const found = forgottenExports(packageOf(files), { sluice: "index.ts", "sluice/sub": "sub.ts" });
  expect(found).toEqual(["sluice: c.ts#C"]);
});

test("every export and every member has a docstring; classes and verbs say what they throw, by an example", () => {
  const all = documented(sources, entries);
  expect(all.length).toBeGreaterThan(1000);
  expect(undocumented(all)).toEqual([]);
});

/** What is missing in a package of one file. */
function missingIn(text: string): readonly string[] {
  return undocumented(documented(packageOf({ "index.ts": text }), { sluice: "index.ts" }));
}

const DOC = "/** @throws nothing @example a(); */\n";

test.each([
  ["export interface A {}", ["A: no docstring"]],
  [
    "/** An A. */ export interface A { b: 1; /** c */ c?: 2; d(): void }",
    ["A.b: no docstring", "A.d: no docstring"],
  ],
  ["/** An A. */ export type A = { b: 1 } | { /** c */ c: 2 };", ["A.b: no docstring"]],
  ["export function a(): void {}", ["a: no docstring"]],
  ["/** @throws B */ export function a(): void {}", ["a: no @example"]],
  ["/** @example a(); */ export function a(): void {}", ["a: no @throws"]],
  [`${DOC}export class A { b(): void {} }`, ["A.b: no docstring"]],
  [`${DOC}export class A { /** b */ b(): void {} }`, ["A.b: no @throws", "A.b: no @example"]],
  [
    `${DOC}export class A { /** b */ b = 1; #c = 2; private d = 3; constructor() {} [Symbol.dispose]() {} }`,
    [],
  ],
  [
    `/** An A. */ export interface A { /** b */ b(): void }\n${DOC}export const A: new () => A = B;`,
    ["A.b: no @throws", "A.b: no @example"],
  ],
  [`${DOC}export function a(b: 1): void;\nexport function a(b: unknown): void {}`, []],
  ["interface Hidden { a: 1 }", []],
])("in %j what lacks a docstring is seen", (text, missing) => {
  expect(missingIn(text)).toEqual(missing);
});

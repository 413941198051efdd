/** What users can import: every type that an export names has a name too, and all of it says what it is. */
import { expect, test } from "vitest";
import { librarySources } from "../../../../scripts/library-sources.mjs";
import { keyOf, Sources } from "../../../../scripts/public-surface.mjs";

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

const sources = new Sources();
const entries = librarySources();

test("every type that can be reached from an entry point can be imported from it, or from sluice", () => {
  expect(forgottenExports(sources, entries)).toEqual([]);
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

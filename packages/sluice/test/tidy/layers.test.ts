/** Folders of the library import downwards alone, and no files import each other in a circle. */
import { expect, test } from "vitest";
import { importsOf, isTest, type Source, sourcesIn } from "./sources.js";

/** From the lowest up; what stands in one line knows nothing of each other. */
const LAYERS = [
  ["core"],
  ["algorithms"],
  ["headers"],
  ["events"],
  ["stores"],
  ["resilience"],
  ["limiter", "semaphore"],
  ["policies"],
  ["outgoing", "http", "diagnostics", "metrics"],
  ["prometheus", "otel"],
  ["adapters"],
  ["audit", "report"],
  ["log", "simulate"],
  ["testing"],
  ["index.ts"],
  ["cli"],
];

const sources = sourcesIn("packages/sluice/src", [".ts"]).filter((source) => !isTest(source));

const folderOf = (path: string): string => path.split("/")[0] ?? "";

const layerOf = (path: string): number =>
  LAYERS.findIndex((folders) => folders.includes(folderOf(path)));

/** Imports from a layer above, or from another folder of the same one. */
function climbs(of: readonly Source[]): readonly string[] {
  return of.flatMap((source) => {
    const { path } = source;
    const up = importsOf(source).filter(
      (other) => folderOf(other) !== folderOf(path) && layerOf(other) >= layerOf(path),
    );
    return up.map((other) => `${path} imports ${other}`);
  });
}

/** The files of some circle of imports, in its order; none where there is no circle. */
function cycleAmong(of: readonly Source[]): readonly string[] {
  const imports = new Map(of.map((source) => [source.path, importsOf(source)]));
  const done = new Set<string>();
  const follow = (path: string, way: readonly string[]): readonly string[] => {
    if (way.includes(path)) return [...way.slice(way.indexOf(path)), path];
    if (done.has(path)) return [];
    for (const next of imports.get(path) ?? []) {
      const cycle = follow(next, [...way, path]);
      if (cycle.length > 0) return cycle;
    }
    done.add(path);
    return [];
  };
  for (const { path } of of) {
    const cycle = follow(path, []);
    if (cycle.length > 0) return cycle;
  }
  return [];
}

test("every folder has a layer", () => {
  const folders = new Set(sources.map(({ path }) => folderOf(path)));
  expect([...folders].filter((folder) => layerOf(folder) < 0)).toEqual([]);
});

test("no file imports from a layer above its own, or beside it", () => {
  expect(climbs(sources)).toEqual([]);
});

test("only its own folder knows of node:diagnostics_channel, which bundles for the edge lack", () => {
  const users = sources.filter(({ text }) => text.includes('"node:diagnostics_channel"'));
  expect([...new Set(users.map(({ path }) => folderOf(path)))]).toEqual(["diagnostics"]);
});

test("no files import each other in a circle", () => {
  expect(cycleAmong(sources)).toEqual([]);
});

test.each([
  ["a value", 'import { a } from "../limiter/a.js";'],
  ["a type", 'import type { A } from "../limiter/a.js";'],
  ["a type in place", 'export const a: import("../limiter/a.js").A = 1;'],
  ["for export", 'export { a } from "../limiter/a.js";'],
  ["all for export", 'export * from "../limiter/a.js";'],
  ["at run time", 'export const a = () => import("../limiter/a.js");'],
])("an import of %s is seen", (_, text) => {
  expect(climbs([{ path: "stores/b.ts", text }])).toEqual(["stores/b.ts imports limiter/a.ts"]);
  expect(climbs([{ path: "semaphore/b.ts", text }])).toHaveLength(1);
  expect(climbs([{ path: "limiter/b.ts", text }])).toEqual([]);
  expect(climbs([{ path: "audit/b.ts", text }])).toEqual([]);
});

test("a circle of types is seen", () => {
  const files = [
    { path: "core/a.ts", text: 'import "./b.js";' },
    { path: "core/b.ts", text: 'import type { C } from "./c.js";' },
    { path: "core/c.ts", text: 'import type { B } from "./b.js";' },
  ];
  expect(cycleAmong(files)).toEqual(["core/b.ts", "core/c.ts", "core/b.ts"]);
  expect(cycleAmong(files.slice(0, 2))).toEqual([]);
});

/** Folders of the library, and of the program, import downwards alone, and no files import each other in a circle. */
import { expect, test } from "vitest";
import { librarySources } from "../../../../scripts/library-sources.mjs";
import { importsOf, isTest, modulesOf, type Source, sourcesIn } from "./sources.js";

/** From the lowest up; what stands in one line knows nothing of each other. */
const LIBRARY = [
  ["core"],
  ["algorithms"],
  ["headers", "describe"],
  ["events"],
  ["stores"],
  ["resilience"],
  ["limiter", "semaphore"],
  ["policies"],
  ["outgoing", "http", "diagnostics", "metrics"],
  ["prometheus", "otel"],
  ["adapters"],
  ["audit", "report"],
  ["log", "simulate", "remote"],
  ["testing"],
  ["index.ts"],
];

/** Of packages/cli: what a terminal shows, the command line, the dashboard, the service, the commands, and which one is called. */
const PROGRAM = [
  ["clock.ts", "did-you-mean.ts", "within-time.ts"],
  ["terminal"],
  ["command-line"],
  ["dashboard"],
  ["serve"],
  ["commands"],
  ["run.ts"],
  ["main.ts"],
];

type Layers = readonly (readonly string[])[];

const sources = sourcesIn("packages/sluice/src", [".ts"]).filter((source) => !isTest(source));
const ofProgram = sourcesIn("packages/cli/src", [".ts"]).filter((source) => !isTest(source));

const folderOf = (path: string): string => path.split("/")[0] ?? "";

const layerOf = (path: string, layers: Layers): number =>
  layers.findIndex((folders) => folders.includes(folderOf(path)));

/** Imports from a layer above, or from another folder of the same one. */
function climbs(of: readonly Source[], layers: Layers = LIBRARY): readonly string[] {
  return of.flatMap((source) => {
    const { path } = source;
    const up = importsOf(source).filter(
      (other) =>
        folderOf(other) !== folderOf(path) && layerOf(other, layers) >= layerOf(path, layers),
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

/** Imports of the library that none of its users could write. */
function trespasses(of: readonly Source[]): readonly string[] {
  const isPublic = (module: string): boolean => module in librarySources();
  return of.flatMap((source) => {
    const inside = importsOf(source).filter((path) => path.startsWith("../"));
    const unnamed = modulesOf(source).filter(
      (module) => /^sluice(?:\/|$)/.test(module) && !isPublic(module),
    );
    return [...inside, ...unnamed].map((other) => `${source.path} imports ${other}`);
  });
}

test.each([
  ["the library", sources, LIBRARY],
  ["the program", ofProgram, PROGRAM],
])("every folder of %s has a layer", (_, of, layers) => {
  const folders = new Set(of.map(({ path }) => folderOf(path)));
  expect([...folders].filter((folder) => layerOf(folder, layers) < 0)).toEqual([]);
});

test.each([
  ["the library", sources, LIBRARY],
  ["the program", ofProgram, PROGRAM],
])("no file of %s imports from a layer above its own, or beside it", (_, of, layers) => {
  expect(climbs(of, layers)).toEqual([]);
});

test("the program imports the library by its public names alone, as its users do", () => {
  expect(trespasses(ofProgram)).toEqual([]);
});

test("tests of the program take from the library's folder what tests share, and nothing else", () => {
  const shared = /^\.\.\/(?:sluice\/test\/support\/|\.\.\/scripts\/)/;
  const all = sourcesIn("packages/cli", [".ts"]).filter(({ path }) => !path.startsWith("dist/"));
  const others = all.flatMap((source) =>
    importsOf(source)
      .filter((path) => path.startsWith("../") && !shared.test(path))
      .map((path) => `${source.path} imports ${path}`),
  );
  expect(others).toEqual([]);
});

test("the library imports itself by path alone, and knows nothing of the program", () => {
  const named = sources.flatMap((source) =>
    modulesOf(source)
      .filter((module) => /^(?:@sluice|sluice)(?:\/|$)/.test(module))
      .map((module) => `${source.path} imports ${module}`),
  );
  expect(named).toEqual([]);
});

test("only its own folder knows of node:diagnostics_channel, which bundles for the edge lack", () => {
  const users = sources.filter(({ text }) => text.includes('"node:diagnostics_channel"'));
  expect([...new Set(users.map(({ path }) => folderOf(path)))]).toEqual(["diagnostics"]);
});

test("no files import each other in a circle", () => {
  expect(cycleAmong(sources)).toEqual([]);
  expect(cycleAmong(ofProgram)).toEqual([]);
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

test.each([
  ["by path", 'import { a } from "../../../sluice/src/index.js";', "../../sluice/src/index.ts"],
  ["of its build", 'import { a } from "sluice/dist/index.js";', "sluice/dist/index.js"],
  ["of a name that is not exported", 'import type { A } from "sluice/core";', "sluice/core"],
])("an import of the library %s is seen", (_, text, found) => {
  expect(trespasses([{ path: "commands/a.ts", text }])).toEqual([`commands/a.ts imports ${found}`]);
  const fine = 'import "sluice"; import "sluice/redis"; import "../b.js"; import "sluice-gate";';
  expect(trespasses([{ path: "commands/a.ts", text: fine }])).toEqual([]);
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

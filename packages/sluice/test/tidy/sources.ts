/** What the tidy tests read: the files, and what their syntax trees tell. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAst } from "vitest/node";

const root = fileURLToPath(new URL("../../../../", import.meta.url));

export interface Source {
  /** From the folder that was asked for, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** The files of a folder of the repository, at any depth, but for what is generated or installed. */
export function sourcesIn(folder: string, extensions: readonly string[]): readonly Source[] {
  return readdirSync(root + folder, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll(sep, "/"))
    .filter((path) => extensions.some((extension) => path.endsWith(extension)))
    .filter((path) => !/(?:^|\/)(?:(?:page\.)?generated\.ts$|node_modules\/)/.test(path))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, folder, path), "utf8") }));
}

export const isTest = ({ path }: Source): boolean => path.endsWith(".test.ts");

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [property: string]: unknown;
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value;

function childrenOf(node: Node): readonly Node[] {
  return Object.values(node).flat().filter(isNode);
}

const trees = new WeakMap<Source, Node>();

function treeOf(source: Source): Node {
  const known = trees.get(source);
  if (known !== undefined) return known;
  const { path, text } = source;
  // vitest passes on no newer parser, and vite is no dependency of ours.
  // oxlint-disable-next-line typescript/no-deprecated
  const tree: unknown = parseAst(text, { lang: path.endsWith(".ts") ? "ts" : "js" }, path);
  trees.set(source, tree as Node);
  return tree as Node;
}

function* allNodes(node: Node): Generator<Node> {
  yield node;
  for (const child of childrenOf(node)) yield* allNodes(child);
}

/** The sources that a file imports or exports from, types included, by their paths. */
export function importsOf(source: Source): readonly string[] {
  return modulesOf(source)
    .filter((module) => module.startsWith("."))
    .map((module) => join(dirname(source.path), module).replaceAll(sep, "/"))
    .map((path) => path.replace(/\.js$/, ".ts"));
}

/** All that a file imports or exports from, types included, as it says it: "./a.js", "node:fs". */
export function modulesOf(source: Source): readonly string[] {
  return [...allNodes(treeOf(source))].flatMap(({ type, source: from }) => {
    const isImport = /^(?:Import|Export|TSImport)/.test(type);
    const value = isImport && isNode(from) ? from["value"] : undefined;
    return typeof value === "string" ? [value] : [];
  });
}

/** The names that a file declares and exports. */
export function exportsOf(source: Source): ReadonlySet<string> {
  const exported = childrenOf(treeOf(source)).filter(
    (node) => node.type === "ExportNamedDeclaration" && !isNode(node["source"]),
  );
  const names = exported.flatMap(({ declaration, specifiers }) => {
    if (!isNode(declaration)) return [specifiers].flat().filter(isNode).map(nameOf("exported"));
    const { declarations } = declaration;
    return declarations === undefined
      ? [nameOf("id")(declaration)]
      : [declarations].flat().filter(isNode).map(nameOf("id"));
  });
  return new Set(names);
}

const nameOf =
  (property: string) =>
  (node: Node): string => {
    const named = node[property];
    return isNode(named) ? String(named["name"]) : "";
  };

export interface Span {
  readonly name: string;
  readonly lines: number;
}

/** All functions of a file, by the name that they or what they are assigned to have. */
export function functionsOf(source: Source): readonly Span[] {
  return source.path.endsWith(".lua")
    ? functionsOfLua(source.text)
    : functionsWithin(treeOf(source), source.text, "");
}

function functionsWithin(node: Node, text: string, outer: string): readonly Span[] {
  const own = nameOf("id")(node) || nameOf("key")(node);
  const name = own || outer;
  const isFunction = /^(?:FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(
    node.type,
  );
  const inside = childrenOf(node).flatMap((child) => functionsWithin(child, text, name));
  return isFunction
    ? [{ name, lines: linesOf(text.slice(node.start, node.end)) }, ...inside]
    : inside;
}

/** Lua is indented throughout: a function ends where its indentation has an `end`. */
function functionsOfLua(text: string): readonly Span[] {
  const lines = text.split("\n");
  return lines.flatMap((line, first) => {
    const [, indent, before = "", after = ""] = /^( *)(.*)\bfunction\b ?(\w*)/.exec(line) ?? [];
    if (indent === undefined || before.includes("--") || /\bend\b/.test(line)) return [];
    const end = new RegExp(`^${indent}end\\b`);
    const length = lines.slice(first).findIndex((other) => end.test(other)) + 1;
    const name = after === "" ? before.trim() : after;
    return [{ name, lines: length === 0 ? lines.length - first : length }];
  });
}

export function linesOf(text: string): number {
  return text.trimEnd().split("\n").length;
}

/** The comment that a file opens with, as words; "" where there is none. */
export function openingOf({ text }: Source): string {
  const comment = /^(?:#!.*\n)?(?:\/\*\*(.*?)\*\/|((?:(?:\/\/|--).*\n)+))/s.exec(text);
  return flat(comment?.[1] ?? comment?.[2] ?? "");
}

/** A text in one line, without the marks that comments begin their lines with. */
export function flat(text: string): string {
  return text.replaceAll(/(?:^|\s)\s*(?:\*\/|\/\*\*|\*|\/\/|--)?(?:\s+|$)/g, " ").trim();
}

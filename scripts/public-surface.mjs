// What users can import from the packages, read from the sources' syntax trees: every export of every entry point, what
// it refers to, its members and their docstrings. The tidy tests hold rules over it, and api-surface.mjs prints it.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseAst } from "vitest/node";

/**
 * @typedef {{ type: string, start: number, end: number, [property: string]: unknown }} Node
 * @typedef {{ file: string, name: string }} Id where a name is declared, as the declaring file calls it
 * @typedef {{ imports: Map<string, Id>, declared: Map<string, Node[]>, exported: Map<string, Id>, stars: string[], text: string }} Module
 */

/** @param {unknown} value @returns {value is Node} */
const isNode = (value) => typeof value === "object" && value !== null && "type" in value;

/** @param {Node} node @param {string} property @returns {Node | undefined} */
export function child(node, property) {
  const value = node[property];
  return isNode(value) ? value : undefined;
}

/** @param {Node} node @param {string} property @returns {readonly Node[]} */
export function children(node, property) {
  return [node[property]].flat().filter(isNode);
}

/** @param {Node | undefined} node what an identifier or a literal says */
export function nameOf(node) {
  const name = node?.["name"] ?? node?.["value"];
  return typeof name === "string" ? name : "";
}

/** The sources of a package as modules that know each other. */
export class Sources {
  /** @readonly @type {Map<string, Module>} */
  #modules = new Map();
  /** @readonly */
  #read;

  /** @param {(file: string) => string} read the text of a source, by its path */
  constructor(read = (file) => readFileSync(file, "utf8")) {
    this.#read = read;
  }

  /** @param {string} file @returns {Module} */
  module(file) {
    const known = this.#modules.get(file);
    if (known !== undefined) return known;
    const text = this.#read(file);
    // vitest passes on no newer parser, and vite is no dependency of ours.
    // oxlint-disable-next-line typescript/no-deprecated
    const parsed = parseAst(text, { lang: "ts" }, file);
    const tree = /** @type {Node} */ (/** @type {unknown} */ (parsed));
    /** @type {Module} */
    const module = {
      imports: new Map(),
      declared: new Map(),
      exported: new Map(),
      stars: [],
      text,
    };
    for (const node of children(tree, "body")) readStatement(module, node, file);
    this.#modules.set(file, module);
    return module;
  }

  /**
   * The names that a module exports, and where each is declared.
   * @param {string} file
   * @returns {Map<string, Id>}
   */
  exportsOf(file) {
    const { exported, stars } = this.module(file);
    const names = new Map(stars.flatMap((star) => [...this.exportsOf(star)]));
    for (const [name, id] of exported) {
      const found = this.resolve(id);
      if (found !== undefined) names.set(name, found);
    }
    return names;
  }

  /**
   * The declaration of a name that a file declares, imports or passes on; undefined if in no source.
   * @param {Id} id
   * @returns {Id | undefined}
   */
  resolve({ file, name }) {
    const { declared, imports } = this.module(file);
    if (declared.has(name)) return { file, name };
    const from = imports.get(name);
    return from === undefined ? undefined : this.resolveExport(from);
  }

  /** @param {Id} id @returns {Id | undefined} */
  resolveExport({ file, name }) {
    const { exported, stars } = this.module(file);
    const own = exported.get(name);
    if (own !== undefined) return own.file === file ? this.resolve(own) : this.resolveExport(own);
    for (const star of stars) {
      const found = this.resolveExport({ file: star, name });
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** @param {Id} id @returns {readonly Node[]} all declarations of a name: a type and a value may share one */
  declarationsOf({ file, name }) {
    return this.module(file).declared.get(name) ?? [];
  }

  /**
   * All declarations that can be reached from some, by types that their public parts name.
   * @param {Iterable<Id>} from
   * @returns {Map<string, Id>} by "file#name"
   */
  reachable(from) {
    const found = new Map([...from].map((id) => [keyOf(id), id]));
    for (const id of found.values()) {
      for (const node of this.declarationsOf(id)) {
        for (const name of namesIn(node)) {
          const to = this.resolve({ file: id.file, name });
          if (to !== undefined) found.set(keyOf(to), to);
        }
      }
    }
    return found;
  }
}

/** @param {Id} id */
export const keyOf = ({ file, name }) => `${file}#${name}`;

/** @param {Module} module @param {Node} node @param {string} file */
function readStatement(module, node, file) {
  const source = child(node, "source");
  const from = source === undefined ? undefined : pathOf(file, nameOf(source));
  if (node.type === "ImportDeclaration") {
    for (const specifier of from === undefined ? [] : children(node, "specifiers")) {
      const imported = nameOf(child(specifier, "imported") ?? child(specifier, "local"));
      module.imports.set(nameOf(child(specifier, "local")), { file: from ?? "", name: imported });
    }
  } else if (node.type === "ExportAllDeclaration" && from !== undefined) module.stars.push(from);
  else if (node.type === "ExportNamedDeclaration") {
    for (const specifier of children(node, "specifiers")) {
      const [local, name] = ["local", "exported"].map((which) => nameOf(child(specifier, which)));
      if (source === undefined || from !== undefined) {
        module.exported.set(name ?? "", { file: from ?? file, name: local ?? "" });
      }
    }
    for (const name of declare(module, child(node, "declaration"), node)) {
      module.exported.set(name, { file, name });
    }
  } else declare(module, node, node);
}

/**
 * Notes what a statement declares.
 * @param {Module} module @param {Node | undefined} declaration @param {Node} statement
 */
function declare(module, declaration, statement) {
  if (declaration === undefined) return [];
  const declared = children(declaration, "declarations");
  const names = (declared.length > 0 ? declared : [declaration])
    .map((each) => nameOf(child(each, "id")))
    .filter((name) => name !== "");
  for (const name of names) {
    module.declared.set(name, [...(module.declared.get(name) ?? []), statement]);
  }
  return names;
}

/** @param {string} file @param {string} module @returns {string | undefined} */
function pathOf(file, module) {
  if (!module.startsWith(".")) return undefined;
  return join(dirname(file), module).replaceAll("\\", "/").replace(/\.js$/, ".ts");
}

/**
 * What of a node users never see: code, not types. A property's value is code too; a method's holds its parameters.
 * @param {Node} node @param {string} property
 */
const isCode = ({ type }, property) =>
  property === "decorators" ||
  property === "init" ||
  (property === "body" && type.includes("Function")) ||
  (property === "value" && type === "PropertyDefinition");

/** @param {Node} node whether code outside its class cannot name it */
export const isPrivate = (node) =>
  child(node, "key")?.type === "PrivateIdentifier" ||
  node["accessibility"] === "private" ||
  node.type === "StaticBlock";

/**
 * All nodes of what users see of a declaration.
 * @param {Node} node
 * @returns {Generator<Node>}
 */
export function* seen(node) {
  if (isPrivate(node)) return;
  yield node;
  for (const [property, value] of Object.entries(node)) {
    if (isCode(node, property)) continue;
    for (const each of [value].flat()) if (isNode(each)) yield* seen(each);
  }
}

/**
 * The names of types in what users see; the value of a `typeof` needs no name.
 * @param {Node} node
 * @returns {ReadonlySet<string>}
 */
export function namesIn(node) {
  const own = new Set(
    [...seen(node)]
      .filter(({ type }) => type === "TSTypeParameter")
      .map((each) => nameOf(child(each, "name"))),
  );
  const names = [...seen(node)].flatMap((each) => {
    if (each.type === "TSTypeReference") return [leftmost(child(each, "typeName"))];
    if (each.type === "TSInterfaceHeritage" || each.type === "TSClassImplements") {
      return [leftmost(child(each, "expression"))];
    }
    const parent = each.type.startsWith("Class") ? child(each, "superClass") : undefined;
    return parent === undefined ? [] : [leftmost(parent)];
  });
  return new Set(names.filter((name) => name !== "" && !own.has(name)));
}

/** @param {Node | undefined} node the first name of `a.b.c` @returns {string} */
function leftmost(node) {
  const inner = node === undefined ? undefined : (child(node, "left") ?? child(node, "object"));
  return inner === undefined ? nameOf(node) : leftmost(inner);
}

/**
 * The docstring before a node; "" if there is none.
 * @param {string} text
 * @param {Node} node
 */
export function docstringOf(text, node) {
  // A directive to the linter may be in between.
  const before = text
    .slice(0, node.start)
    .replace(/(?:\n[ \t]*\/\/[^\n]*)+\n[ \t]*$/, "")
    .trimEnd();
  return before.endsWith("*/") ? before.slice(before.lastIndexOf("/**")) : "";
}

/**
 * @typedef {{ name: string, kind: "class" | "verb" | "member" | "export", docstring: string, text: string }} Documented
 */

/**
 * An export and its members, with their docstrings. A verb is a function, or a method of a class that can be made.
 * @param {Sources} sources
 * @param {Id} id
 * @returns {readonly Documented[]}
 */
export function documentedIn(sources, id) {
  const { text } = sources.module(id.file);
  const nodes = sources.declarationsOf(id);
  const declarations = nodes.map((node) => child(node, "declaration") ?? node);
  const docstring = nodes.map((node) => docstringOf(text, node)).join("");
  const isMade = declarations.some(({ type }) => type === "ClassDeclaration") || nodes.length > 1;
  const isFunction = declarations.some(
    ({ type }) => type === "TSDeclareFunction" || type === "FunctionDeclaration",
  );
  /** @type {Documented} */
  const own = {
    name: id.name,
    kind: isMade ? "class" : "export",
    docstring,
    text: declarations.map((each) => seenText(text, each)).join(" "),
  };
  if (isFunction) return [{ ...own, kind: "verb" }];
  const members = declarations
    .flatMap((declaration) => membersOf(declaration))
    .filter((each) => !isPrivate(each));
  /** @type {Map<string, Documented>} */
  const named = new Map();
  for (const member of members) {
    const name = memberName(member);
    if (name === undefined) continue;
    const known = named.get(name);
    const found = docstringOf(text, member);
    const kind = isMade && isVerb(member) ? "verb" : "member";
    named.set(name, {
      name: `${id.name}.${name}`,
      kind,
      docstring: found === "" ? (known?.docstring ?? "") : found,
      text: seenText(text, member),
    });
  }
  return [own, ...named.values()];
}

/** @param {Node} declaration @returns {readonly Node[]} */
function membersOf(declaration) {
  const body = child(declaration, "body");
  if (body !== undefined && /^(?:TSInterfaceBody|ClassBody)$/.test(body.type)) {
    return children(body, "body");
  }
  return literalMembers(child(declaration, "typeAnnotation"));
}

/** @param {Node | undefined} type of an alias: members of its object types @returns {readonly Node[]} */
function literalMembers(type) {
  if (type?.type === "TSTypeLiteral") return children(type, "members");
  return type !== undefined && /^TS(?:Union|Intersection)Type$/.test(type.type)
    ? children(type, "types").flatMap(literalMembers)
    : [];
}

/** @param {Node} member @returns {string | undefined} undefined for what has no name, as `[Symbol.asyncDispose]` */
function memberName(member) {
  const key = child(member, "key");
  const isNamed =
    key !== undefined && member["computed"] !== true && member["kind"] !== "constructor";
  return isNamed ? nameOf(key) : undefined;
}

/** @param {Node} member */
const isVerb = ({ type, kind }) =>
  (type === "MethodDefinition" || type === "TSMethodSignature") && kind === "method";

/**
 * What users see of a declaration or a member, in one line: no code, no comments, and no members, which have their own
 * lines.
 * @param {string} text
 * @param {Node} node
 */
function seenText(text, node) {
  const body = child(node, "body");
  const end =
    body !== undefined && /^(?:TSInterface|Class)Body$/.test(body.type) ? body.start : node.end;
  let shown = text.slice(node.start, end);
  for (const code of codeIn(node).toSorted((a, b) => b.start - a.start)) {
    shown = shown.slice(0, code.start - node.start) + shown.slice(code.end - node.start);
  }
  return shown
    .replaceAll(/\/\*[^]*?\*\/|\/\/[^\n]*/g, " ")
    .replaceAll(/\s+/g, " ")
    .trim();
}

/** @param {Node} node @returns {readonly Node[]} the parts of it that are code */
function codeIn(node) {
  return Object.entries(node).flatMap(([property, value]) =>
    [value]
      .flat()
      .filter(isNode)
      .flatMap((each) => (isCode(node, property) ? [each] : codeIn(each))),
  );
}

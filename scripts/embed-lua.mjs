// Embeds the Lua scripts in the JavaScript, so that the published package reads nothing from disk and survives
// bundlers. It runs before anything is compiled, on the oldest Node. Comments and indentation are left out: they
// would travel to the server. A comment line may be a directive; paths start at packages/sluice/src:
//
//   -- @include algorithms/decide.lua         that file's lines are inserted here
//   -- @const READY, VERBS from a/file.ts     these names of the file are replaced by their values, which must be numbers,
//                                             products of numbers, tables of them or, in a .lua file, text
//   -- @kernels, -- @fast-paths               stores/redis/scripts.ts puts those of a batch here
//   -- @each, -- @loop, -- @end, -- @names, -- @ask, -- @ahead, -- @numbers
//                                             stores/redis/straight.ts makes a text for a sequence of policies, or for any
//   -- @batch                                 stores/redis/lone-scripts.ts puts the script of batches here
//
// Scripts are stores/redis/scripts/*.lua. Kernels and fast paths are algorithms/*/kernel.lua and fast.lua, found by
// the tags that they define at the start of a line: `kernels.b = ` and `fast.b = `.
import { readdirSync, readFileSync } from "node:fs";
import { basename, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { writeIfChanged } from "./write-if-changed.mjs";

const sourceDir = fileURLToPath(new URL("../packages/sluice/src/", import.meta.url));

/** Directives for who puts a script together. */
const LEFT = new Set("kernels fast-paths batch each loop end names ask ahead numbers".split(" "));

/** @typedef {string | Readonly<Record<string, string>>} Constant a Lua literal, or such by name */

/** @param {string} path */
function read(path) {
  return readFileSync(join(sourceDir, path), "utf8");
}

/** @param {string} text @param {string} path @returns {number} */
function numberOf(text, path) {
  if (text.includes(" * ")) {
    return text.split(" * ").reduce((product, factor) => product * numberOf(factor, path), 1);
  }
  const power = /^(\w+) \*\* (\w+)$/.exec(text);
  if (power) return numberOf(power[1] ?? "", path) ** numberOf(power[2] ?? "", path);
  const literal = Number(text.replaceAll("_", ""));
  return Number.isNaN(literal) ? Number(constantOf(text, path)) : literal;
}

/** @param {string} text @param {string} path */
function literalOf(text, path) {
  if (/^'[^']*'$/.test(text)) return text;
  const number = numberOf(text, path);
  if (!Number.isInteger(number) || Math.abs(number) > 2 ** 53) {
    throw new Error(`${path}: ${text} is neither text nor an exact integer`);
  }
  // In brackets, since two minus signs would begin a comment.
  return number < 0 ? `(${number})` : String(number);
}

/** The value of `const NAME = ...;` or, in Lua, `local NAME = ...`. @param {string} name @param {string} path @returns {Constant} */
function constantOf(name, path) {
  const isLua = path.endsWith(".lua");
  const code = isLua ? read(path) : read(path).replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
  const pattern = isLua
    ? `^local ${name} = (.+)$`
    : `^(?:export )?const ${name}(?:: [^=]+)? =\\s+([^;]+);$`;
  const text = /^\w+$/.test(name) && new RegExp(pattern, "m").exec(code)?.[1];
  if (!text) throw new Error(`${path}: there is no constant ${name}`);
  const table = /^(?:Object\.freeze\()?\{([^{}]*)\}\)?(?: as const)?$/.exec(text)?.[1];
  if (table === undefined) return literalOf(text, path);
  const members = table.split(",").map((member) => member.trim());
  return Object.fromEntries(
    members.filter(Boolean).map((member) => {
      const [key = "", value = ""] = member.split(": ");
      return [key, literalOf(value, path)];
    }),
  );
}

/** Replaces the names of a file's constants by their values. */
class Constants {
  /** @readonly @type {Map<string, Constant>} */
  #values = new Map();
  /** @readonly @type {Set<string>} */
  #unused = new Set();
  /** @readonly */
  #path;

  /** @param {string} path of the file that uses them */
  constructor(path) {
    this.#path = path;
  }

  /** @param {string} names @param {string} from */
  add(names, from) {
    for (const name of names.split(/,\s*/)) {
      this.#values.set(name, constantOf(name, from));
      this.#unused.add(name);
    }
  }

  /** @param {string} line */
  resolve(line) {
    return line.replaceAll(
      /'[^']*'|(?<![\w.])([A-Z][A-Z_]+)(?:\.(\w+))?/g,
      (all, /** @type {string | undefined} */ name, /** @type {string | undefined} */ member) => {
        const value = name === undefined ? undefined : this.#values.get(name);
        if (name === undefined || value === undefined) return all;
        this.#unused.delete(name);
        const literal = typeof value === "string" ? !member && value : member && value[member];
        if (!literal) throw new Error(`${this.#path}: there is no constant ${all}`);
        return literal;
      },
    );
  }

  /**
   * Throws if the code uses a constant that no line declares, or a line declares an unused one.
   * @param {readonly string[]} own
   * @param {readonly string[]} all with what they include
   */
  check(own, all) {
    const locals = [...all.join("\n").matchAll(/^local ([A-Z_, ]+?) =/gm)];
    const names = locals.flatMap(([, declared = ""]) => declared.split(", "));
    const known = new Set(["KEYS", "ARGV", ...names]);
    for (const [name] of own
      .join("\n")
      .replaceAll(/'[^']*'/g, "''")
      .matchAll(/(?<![\w.])[A-Z][A-Z_]+\b/g)) {
      if (!known.has(name)) throw new Error(`${this.#path}: ${name} lacks a line "-- @const"`);
    }
    for (const name of this.#unused) throw new Error(`${this.#path}: ${name} is not used`);
  }
}

/**
 * What of a file travels.
 * @param {string} path
 * @param {readonly string[]} includedBy
 * @returns {readonly string[]}
 */
function linesOf(path, includedBy = []) {
  if (includedBy.includes(path)) throw new Error(`${path} includes itself`);
  const constants = new Constants(path);
  /** @type {string[]} */
  const own = [];
  /** @type {string[]} */
  const lines = [];
  for (const line of read(path)
    .split("\n")
    .map((text) => text.trim())) {
    const [, directive, rest = ""] = /^-- @([\w-]+) ?(.*)$/.exec(line) ?? [];
    if (directive === "include") lines.push(...linesOf(rest, [...includedBy, path]));
    else if (directive === "const") {
      const [names = "", from = ""] = rest.split(" from ");
      constants.add(names, from);
    } else if (directive !== undefined && LEFT.has(directive)) lines.push(line);
    else if (directive !== undefined || line.startsWith("--[")) {
      throw new Error(`${path}: neither a comment nor a directive: ${line}`);
    } else if (line !== "" && !line.startsWith("--")) {
      const code = constants.resolve(line);
      own.push(code);
      lines.push(code);
    }
  }
  constants.check(own, lines);
  return lines;
}

const paths = readdirSync(sourceDir, { recursive: true, encoding: "utf8" })
  .map((path) => path.split(sep).join("/"))
  .toSorted();

/** @param {string} lua */
const quoted = (lua) => JSON.stringify(lua);

/**
 * An object of sources by the tags that they define; those of one file share it.
 * @param {string} name
 * @param {RegExp} file
 * @param {RegExp} definition
 */
function tableByTag(name, file, definition) {
  /** @type {string[]} */
  const sources = [];
  /** @type {Map<string, number>} */
  const tags = new Map();
  for (const path of paths.filter((candidate) => file.test(candidate))) {
    const lines = linesOf(path);
    const defined = lines.flatMap((line) => definition.exec(line)?.[1] ?? []);
    // The semaphore's kernel is a part of its script alone.
    if (defined.length === 0) continue;
    for (const tag of defined) {
      if (tags.has(tag)) throw new Error(`${path}: the tag ${tag} is another's`);
      tags.set(tag, sources.length);
    }
    sources.push(lines.join("\n"));
  }
  const entries = [...tags].map(([tag, index]) => `  ${tag}: ${name}Sources[${index}],\n`);
  return `const ${name}Sources = [\n${sources.map((lua) => `  ${quoted(lua)},\n`).join("")}] as const;
export const ${name}: Readonly<Record<string, string>> = {\n${entries.join("")}};\n`;
}

const scripts = paths
  .filter((path) => /^stores\/redis\/scripts\/[\w-]+\.lua$/.test(path))
  .map((path) => ({ name: basename(path, ".lua"), lua: linesOf(path).join("\n") }));
// Without the type, declarations would repeat the sources.
const scriptNames = scripts.map(({ name }) => `"${name}"`).join(" | ");

writeIfChanged(
  join(sourceDir, "stores/redis/scripts/generated.ts"),
  `// Generated by scripts/embed-lua.mjs from *.lua. Edit those and run \`npm run generate\`.
export const scripts: Readonly<Record<${scriptNames}, string>> = {
${scripts.map(({ name, lua }) => `  ${name}: ${quoted(lua)},\n`).join("")}};
${tableByTag("kernels", /^algorithms\/[\w-]+\/kernel\.lua$/, /^kernels\.(\w+) =/)}
${tableByTag("fastPaths", /^algorithms\/[\w-]+\/fast\.lua$/, /^fast\.(\w+) =/)}`,
);

/**
 * Texts of scripts without loops over a consume's policies: for a known sequence of algorithms, their lines stand one after
 * another, and those of a fast path, algorithms/<name>/fast.lua, where its function would be called. A script makes its
 * functions each time it runs, and each call and each table costs it time. scripts/sets.lua and lone.lua have the directives.
 */
import type { Rule } from "../../algorithms/rule.js";
import * as lua from "./scripts/generated.js";

/** A fast path in parts. */
interface FastPath {
  /** Functions that it calls. */
  readonly ahead: string;
  /** Names of the policy's numbers. */
  readonly parameters: readonly string[];
  /** Which policies are never usual. */
  readonly setUp: string;
  /** What decides. */
  readonly body: string;
}

/** A policy's tag, how many numbers it has, and these, as text. */
export type PolicyHead = readonly string[];

const MAX_POLICIES = 4;
const EACH = /-- @each\n([^]*?)-- @end\n/g;
const LOOP = /-- @loop\n([^]*?)-- @end\n/g;
const NAMES = /-- @names (.*)\n/;
const ASK = "-- @ask\n";
/** What a fast path answers, in this order. */
const ANSWER = ["new", "available", "rest", "reset", "expiry"];

/** Whether consumes over these policies have straight texts: each has a fast path, and numbers that stay. */
export function isStraight(rules: readonly Rule[]): boolean {
  return rules.length <= MAX_POLICIES && rules.every(hasFastPath);
}

function hasFastPath(rule: Rule): boolean {
  const { isOneValue, tag } = rule.kernel;
  return rule.refresh === undefined && isOneValue && lua.fastPaths[tag] !== undefined;
}

/** The text for a sequence of algorithms, by their tags; `numbers` are the policies', in Lua. */
export function unrolled(
  text: string,
  tags: readonly string[],
  numbers: readonly (readonly string[])[],
): string {
  const paths = tags.map((tag, i) => pathOf(tag, i + 1));
  const perDebit = (make: (path: FastPath, i: number) => string): string => {
    return paths.map((path, i) => make(path, i + 1)).join("");
  };
  return text
    .replaceAll(LOOP, "")
    .replaceAll(EACH, (_, lines: string) => perDebit((path, i) => linesFor(lines, path, i)))
    .replace(NAMES, (_, names: string) => {
      return perDebit((_path, i) => `local ${names.replaceAll(/\w+/g, `$&${i}`)}\n`);
    })
    .replace("-- @ahead\n", [...new Set(paths.map(({ ahead }) => ahead))].join(""))
    .replace("-- @numbers\n", () => {
      return perDebit(({ parameters, setUp }, i) => {
        return `local ${parameters.join()} = ${(numbers[i - 1] ?? []).join()}\n${setUp}`;
      });
    });
}

/** The text for any sequence: with loops, tables and functions. */
export function looped(text: string): string {
  const ask = `${ANSWER.map((name) => `${name}[i]`).join()} = ask[i](stored[i], cost[i], length)\n`;
  return text
    .replaceAll(LOOP, "$1")
    .replaceAll(EACH, (_, lines: string) => {
      const own = lines.replaceAll(/\b([a-z]+)#/g, "$1[i]").replaceAll("#", "i");
      return `for i = 1, count do\n${own.replaceAll(ASK, ask)}end\n`;
    })
    .replace(NAMES, (_, names: string) => {
      return `local ${names} = ${names.replaceAll(/\w+/g, "{}")}\n`;
    })
    .replaceAll(/-- @(?:ahead|numbers)\n/g, "");
}

/** In the lines of a fast path, # is of Lua. */
function linesFor(lines: string, { body }: FastPath, i: number): string {
  const ask = `repeat\nlocal value, cost, calls = stored${i}, cost${i}, length\n${body}\nuntil true\n`;
  return lines.replaceAll("#", String(i)).replaceAll(ASK, () => ask);
}

/**
 * The fast path with this tag for the debit with this index, which its names end in. Where its function returns, its answer
 * is assigned, and a loop that is run once ends.
 */
function pathOf(tag: string, i: number): FastPath {
  const shape = `fast\\.${tag} = function\\((.*)\\)\\n([^]*)return function\\(value, cost, calls\\)\\n([^]*moved and expiry)\\n`;
  const source = lua.fastPaths[tag] ?? "";
  const found = new RegExp(shape).exec(source);
  if (found === null) throw new Error(`no fast.lua has a fast.${tag} that can be taken apart`);
  const [, parameters = "", setUp = "", body = ""] = found;
  const own = new RegExp(`\\b(?:${parameters.replaceAll(", ", "|")})\\b`, "g");
  const answer = ANSWER.map((name) => name + i).join();
  return {
    ahead: source.slice(0, found.index),
    parameters: parameters.split(", ").map((name) => name + i),
    setUp: setUp.replaceAll(own, `$&${i}`).replaceAll("return nil", "isFast = false"),
    body: body
      .replaceAll(own, `$&${i}`)
      .replaceAll(/\breturn (.+?)( end)?$/gm, `${answer} = $1 break$2`),
  };
}

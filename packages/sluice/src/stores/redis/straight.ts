/**
 * Fast paths without their functions: the lines of algorithms/<name>/fast.lua, to stand where the function would be called.
 * A script makes its functions each time it runs, which takes a lone call as long as some of its commands.
 */
import * as lua from "./scripts/generated.js";

/** A fast path in parts. */
interface FastPath {
  /** Functions that it calls. */
  readonly ahead: string;
  /** Names of the policy's numbers. */
  readonly parameters: string;
  /** Which policies are never usual. */
  readonly setUp: string;
  /** What decides. */
  readonly body: string;
}

/** What stands ahead of the lines of fast paths with these tags, once. */
export function aheadOf(tags: readonly string[]): string {
  return [...new Set(tags.map((tag) => partsOf(tag).ahead))].join("");
}

/**
 * Asks the fast path with this tag about one consume, of `cost<i>` on what is `stored<i>`: its answer becomes `new<i>`,
 * `available<i>`, `rest<i>`, `reset<i>` and `expiry<i>`. `numbers` are the policy's, in Lua.
 */
export function straightLines(tag: string, numbers: readonly string[], i: number): string {
  const { parameters, setUp, body } = partsOf(tag);
  const answer = ["new", "available", "rest", "reset", "expiry"].map((name) => name + i).join();
  // As the function's end, but of a loop that is run once.
  const lines = (setUp + body).replaceAll(/\breturn (.+?)( end)?$/gm, `${answer} = $1 break$2`);
  return `repeat
local value, cost, calls = stored${i}, cost${i}, 1
local ${parameters} = ${numbers.join()}
${lines}
until true
`;
}

/** Whether consumes over a kernel with this tag have a fast path. */
export function hasFastPath(tag: string): boolean {
  return lua.fastPaths[tag] !== undefined;
}

const known = new Map<string, FastPath>();

function partsOf(tag: string): FastPath {
  let parts = known.get(tag);
  if (parts === undefined) {
    const shape = `fast\\.${tag} = function\\((.*)\\)\\n([^]*)return function\\(value, cost, calls\\)\\n([^]*moved and expiry)\\n`;
    const source = lua.fastPaths[tag] ?? "";
    const found = new RegExp(shape).exec(source);
    if (found === null) throw new Error(`no fast.lua has a fast.${tag} that can be taken apart`);
    const [, parameters = "", setUp = "", body = ""] = found;
    parts = { ahead: source.slice(0, found.index), parameters, setUp, body };
    known.set(tag, parts);
  }
  return parts;
}

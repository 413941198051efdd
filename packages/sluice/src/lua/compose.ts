/** Puts a script together from the parts that a batch needs, and names it by its SHA-1. */
import { createHash } from "node:crypto";
import type { Kernel } from "../algorithms/kernel.js";
import { luaSources } from "./generated.js";

export interface Script {
  readonly source: string;
  /** Lower-case hexadecimal, as EVALSHA wants it. */
  readonly sha: string;
}

/**
 * What a batch is made of: "consume" = nothing but consumes on one debit, whose state is one value. A script makes
 * its functions anew each time it runs, so the one for these makes those for unusual cases where it meets one.
 */
export type BatchKind = "consume" | "any";

/** By kind and kernels. */
const scripts = new Map<string, Script>();

/** The script for such a batch with these kernels, made once for each. */
export function scriptFor(kind: BatchKind, kernels: ReadonlySet<Kernel>): Script {
  const tags = [...kernels].map(({ tag }) => tag).sort();
  return known(`${kind} ${tags.join("")}`, () => partsOf(kind, [...kernels]));
}

/** The script of the semaphore. */
export function semaphoreScript(): Script {
  return known("semaphore", () => ["semaphore/semaphore"]);
}

/** Names of sources, and lines of Lua around them. */
function partsOf(kind: BatchKind, kernels: readonly Kernel[]): readonly string[] {
  const twins = distinct(kernels.map(({ lua }) => lua));
  const general = ["lua/kernels", "lua/mul-div", ...twins];
  if (kind === "any") {
    const verbs = ["lua/debit", "lua/reservations", "lua/decide", "lua/main"];
    return ["lua/prelude", "lua/open", ...general, ...verbs];
  }
  return [
    "lua/prelude",
    "lua/open",
    "local fast = {}",
    ...distinct(kernels.flatMap(({ luaFast }) => luaFast ?? [])),
    "local function consumeGeneral()",
    // Again, for each name from outside costs the making of the function.
    "lua/prelude",
    ...general,
    "lua/consume-one",
    "end",
    "lua/consume",
  ];
}

function distinct(paths: readonly string[]): readonly string[] {
  return [...new Set(paths)].sort();
}

function known(name: string, parts: () => readonly string[]): Script {
  let script = scripts.get(name);
  if (script === undefined) {
    const source = parts().map(sourceOf).join("\n");
    script = { source, sha: createHash("sha1").update(source).digest("hex") };
    scripts.set(name, script);
  }
  return script;
}

function sourceOf(part: string): string {
  if (!part.includes("/")) return part;
  const sources: Readonly<Record<string, string>> = luaSources;
  const source = sources[part];
  if (source === undefined) throw new Error(`no Lua source ${part}: run "npm run generate"`);
  return source;
}

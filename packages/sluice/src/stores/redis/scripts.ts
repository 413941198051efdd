/** Puts a script together from the kernels that a batch needs, and names it by its SHA-1. */
import { createHash } from "node:crypto";
import type { Kernel } from "../../algorithms/kernel.js";
import * as lua from "./scripts/generated.js";

export interface Script {
  readonly source: string;
  /** Lower-case hexadecimal, as EVALSHA wants it. */
  readonly sha: string;
}

/**
 * What a batch is made of, and the name of its script: "consume" = nothing but consumes on one debit, whose state is
 * one value.
 */
export type BatchKind = "consume" | "any";

/** By name and tags of kernels. */
const scripts = new Map<string, Script>();

/** The script for such a batch with these kernels, made once for each. */
export function scriptFor(kind: BatchKind, kernels: ReadonlySet<Kernel>): Script {
  return known(kind, [...kernels].map(({ tag }) => tag).sort());
}

/** The script of the semaphore. */
export function semaphoreScript(): Script {
  return known("semaphore", []);
}

function known(name: keyof typeof lua.scripts, tags: readonly string[]): Script {
  const id = `${name} ${tags.join("")}`;
  let script = scripts.get(id);
  if (script === undefined) {
    const source = lua.scripts[name]
      .replace("-- @fast-paths", () => distinct(tags.map((tag) => lua.fastPaths[tag] ?? "")))
      .replace("-- @kernels", () => distinct(tags.map(kernelOf)));
    script = { source, sha: createHash("sha1").update(source).digest("hex") };
    scripts.set(id, script);
  }
  return script;
}

function kernelOf(tag: string): string {
  const source = lua.kernels[tag];
  if (source === undefined) throw new Error(`no kernel.lua defines kernels.${tag}`);
  return source;
}

/** Kernels may share a source. */
function distinct(sources: readonly string[]): string {
  return [...new Set(sources)].join("\n");
}

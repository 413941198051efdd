/** What is compared in one process, by the names on the command line. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { buildCommit, entriesOf } from "../scripts/build-commit.mjs";
import { workingTree } from "./build.mjs";
import { REFERENCE } from "./contenders/index.mjs";

/**
 * "tree", a commit, or a directory with package.json and dist; undefined for the reference, which is no build of Sluice.
 * @param {string} name
 * @returns {import("./build.mjs").Build | undefined}
 */
export function buildNamed(name) {
  if (name === "tree") return workingTree;
  if (name === REFERENCE) return undefined;
  return existsSync(join(name, "package.json")) ? entriesOf(name, name) : buildCommit(name);
}

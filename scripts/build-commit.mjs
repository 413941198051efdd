// Builds the library as it was at a commit, from git's history alone. Kept in the machine's temporary directory by
// commit, for a build never changes.
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * What a build offers, by its public names.
 * @typedef {object} Entries
 * @property {string} core path of the module that users import as "sluice"
 * @property {string} redis of "sluice/redis"
 * @property {string} testing of "sluice/testing"
 */

const root = fileURLToPath(new URL("..", import.meta.url));
/** The library's folder in this repository, and its folder in commits before it became a workspace. */
const LAYOUTS = ["packages/sluice", "."];

/** The working tree's package. */
export const packageDirectory = join(root, "packages/sluice");

/**
 * The full name of a commit.
 * @param {string} commit
 */
export function resolveCommit(commit) {
  const asked = ["-C", root, "rev-parse", "--verify", "--quiet", `${commit}^{commit}`];
  const { status, stdout, error } = spawnSync("git", asked, { encoding: "utf8" });
  if (status === 0) return stdout.trim();
  throw new Error(
    `commit ${commit} is not in ${root}: building it takes git and the whole history (git fetch --unshallow)`,
    error && { cause: error },
  );
}

/**
 * Builds a commit, unless that was done before on this machine.
 * @param {string} commit
 * @returns {Entries}
 */
export function buildCommit(commit) {
  const sha = resolveCommit(commit);
  const kept = join(tmpdir(), `sluice-build-${sha}`);
  if (!existsSync(kept)) {
    const work = mkdtempSync(join(tmpdir(), "sluice-building-"));
    try {
      compile(sha, work);
      keep(join(work, "built"), kept);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  return entriesOf(kept, kept);
}

/**
 * The modules of a build, by its package.json.
 * @param {string} packageDir holds package.json
 * @param {string} builtDir holds dist
 * @returns {Entries}
 */
export function entriesOf(packageDir, builtDir) {
  const text = readFileSync(join(packageDir, "package.json"), "utf8");
  const { exports } = /** @type {{ exports: Record<string, { default: string }> }} */ (
    JSON.parse(text)
  );
  const path = (/** @type {string} */ name) => {
    const entry = exports[name];
    if (entry === undefined) throw new Error(`${packageDir} exports no ${name}`);
    return join(builtDir, entry.default);
  };
  return { core: path("."), redis: path("./redis"), testing: path("./testing") };
}

/**
 * @param {string} sha
 * @param {string} work
 */
function compile(sha, work) {
  const source = join(work, "source");
  mkdirSync(source);
  const archive = execFileSync("git", ["-C", root, "archive", "--format=tar", sha], {
    maxBuffer: 2 ** 30,
  });
  execFileSync("tar", ["-x", "-C", source], { input: archive });
  const layout = LAYOUTS.find((each) => existsSync(join(source, each, "tsconfig.build.json")));
  if (layout === undefined) throw new Error(`${sha} has no tsconfig.build.json that is known`);
  // Types, and the compiler of the working tree: neither changes what the library does.
  symlinkSync(join(root, "node_modules"), join(source, "node_modules"), "dir");
  const run = (/** @type {string} */ program, /** @type {string[]} */ ...args) => {
    const { status, stdout, stderr, error } = spawnSync(program, args, {
      cwd: source,
      encoding: "utf8",
    });
    if (status === 0) return;
    const what = `${program} ${args.join(" ")} at ${sha}\n${stdout}${stderr}`;
    throw new Error(what, error && { cause: error });
  };
  run("npm", "run", "generate");
  const built = join(work, "built");
  const project = join(source, layout, "tsconfig.build.json");
  const output = ["--outDir", join(built, "dist"), "--declaration", "false"];
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  run(process.execPath, tsc, "-p", project, ...output);
  writeFileSync(
    join(built, "package.json"),
    readFileSync(join(source, layout, "package.json"), "utf8"),
  );
}

/**
 * Whole or not at all: another process may build the same.
 * @param {string} built
 * @param {string} kept
 */
function keep(built, kept) {
  try {
    renameSync(built, kept);
  } catch (error) {
    if (!existsSync(kept)) throw error;
  }
}

/** The library and the program as users run them: compiled JavaScript in a directory of their own. */
import { execFile } from "node:child_process";
import {
  cpSync,
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
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { inject } from "vitest";

const root = fileURLToPath(new URL("../../../..", import.meta.url));

export interface BuiltPackage {
  /** Holds the output of the build, and files that a test adds. */
  readonly directory: string;
  readonly remove: () => void;
}

/** The same with the program beside it, which finds the library as an installed package. */
export interface BuiltProgram extends BuiltPackage {
  /** What `sluice` runs. */
  readonly cli: string;
}

/**
 * Compiles the sources as they are now, with no more than the named packages to be imported beside
 * them: whichever others the repository has count as not installed.
 */
export async function buildPackage(installed: readonly string[]): Promise<BuiltPackage> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-built-"));
  writeFileSync(join(directory, "package.json"), '{ "type": "module" }\n');
  mkdirSync(join(directory, "node_modules"));
  for (const name of installed) {
    symlinkSync(join(root, "node_modules", name), join(directory, "node_modules", name));
  }
  await compileOnce("sluice", join(directory, "dist"), "--declaration", "false", "--noCheck");
  return {
    directory,
    remove: () => {
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Compiles the library, and the program that imports it by its name. */
export async function buildProgram(installed: readonly string[]): Promise<BuiltProgram> {
  const built = await buildPackage(installed);
  const { directory } = built;
  const library = join(directory, "node_modules/sluice");
  const program = join(directory, "program");
  for (const [name, folder] of [
    ["sluice", library],
    ["cli", program],
  ] as const) {
    mkdirSync(folder);
    cpSync(join(root, "packages", name, "package.json"), join(folder, "package.json"));
  }
  symlinkSync(join(directory, "dist"), join(library, "dist"), "dir");
  // Its types were checked against the sources; an older build of the library has no say.
  await compileOnce("cli", join(program, "dist"), "--noCheck");
  return { ...built, cli: join(program, "dist/main.js") };
}

/** Of the files of a run one compiles, and all others take a copy of it. */
async function compileOnce(name: string, to: string, ...options: readonly string[]): Promise<void> {
  const compiled = join(inject("compiled"), name);
  const outcome = `${compiled}.outcome`;
  if (mkdirSync(compiled, { recursive: true }) !== undefined) {
    const error = await compile(name, compiled, ...options).catch(String);
    writeFileSync(`${outcome}.new`, error ?? "");
    renameSync(`${outcome}.new`, outcome);
  }
  while (!existsSync(outcome)) await sleep(50);
  const error = readFileSync(outcome, "utf8");
  if (error !== "") throw new Error(error);
  cpSync(compiled, to, { recursive: true });
}

async function compile(name: string, to: string, ...options: readonly string[]): Promise<void> {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const project = join(root, "packages", name, "tsconfig.build.json");
  const output = ["--outDir", to, ...options];
  await promisify(execFile)(process.execPath, [tsc, "-p", project, ...output]);
}

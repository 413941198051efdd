/** The package as users run it: compiled JavaScript in a directory of its own. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../../../..", import.meta.url));

export interface BuiltPackage {
  /** Holds the output of the build, and files that a test adds. */
  readonly directory: string;
  /** The command line's program. */
  readonly cli: string;
  readonly remove: () => void;
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
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const project = join(root, "packages/sluice/tsconfig.build.json");
  const output = ["--outDir", join(directory, "dist"), "--declaration", "false"];
  await promisify(execFile)(process.execPath, [tsc, "-p", project, ...output]);
  return {
    directory,
    cli: join(directory, "dist/cli/main.js"),
    remove: () => {
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

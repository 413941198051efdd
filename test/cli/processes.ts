import { type ChildProcess, spawn } from "node:child_process";
import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const CACHE = join(ROOT, "node_modules", ".cache");

/** The command line, compiled, so that other processes can run it. */
export interface BuiltCli {
  /** A directory of its own, for logs too. */
  readonly directory: string;
  start(argv: readonly string[], env?: Readonly<Record<string, string>>): Running;
  remove(): Promise<void>;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<{
    readonly code: number | null;
    readonly stdout: string;
    readonly stderr: string;
  }>;
}

/** Compiles the sources as they are, whatever dist holds; types are another check's business. */
export async function buildCli(): Promise<BuiltCli> {
  await mkdir(CACHE, { recursive: true });
  // Below node_modules, so that the clients are found.
  const directory = await mkdtemp(join(CACHE, "sluice-cli-"));
  await writeFile(join(directory, "package.json"), '{"type":"module"}');
  const out = join(directory, "dist");
  const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const project = join(ROOT, "tsconfig.build.json");
  const compiled = await start(tsc, ["-p", project, "--outDir", out, "--declaration", "false"])
    .ended;
  const main = join(out, "cli", "main.js");
  await access(main).catch(() => {
    throw new Error(`the command line does not compile: ${compiled.stdout}${compiled.stderr}`);
  });
  return {
    directory,
    start: (argv, env = {}) => start(main, argv, env),
    remove: () => rm(directory, { recursive: true }),
  };
}

function start(
  script: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Running {
  const child = spawn(process.execPath, [script, ...argv], { env: { ...process.env, ...env } });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>(
    (resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) => {
        resolve({ code, stdout, stderr });
      });
    },
  );
  return { child, ended };
}

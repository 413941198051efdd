/** Many processes whose server goes away, and which all come back at the same moment. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { auditFiles } from "../../src/testing/index.js";
import { startVictim } from "../support/servers.js";
import type { Stormed } from "./support/stormer.js";
import { driverNames } from "./support/drivers.js";
import { say, unitsOver } from "./support/through-fault.js";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
const PROCESSES = 50;
/** Of those that start. */
const AT_ONCE = 10;

/** The program of one process and all it needs, compiled, in a directory of its own. */
async function compile(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-storm-"));
  onTestFinished(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"), "dir");
  writeFileSync(join(directory, "package.json"), '{ "type": "module" }');
  const compilerOptions = {
    noEmit: false,
    allowJs: false,
    checkJs: false,
    // Its types were checked with all others.
    noCheck: true,
    declaration: false,
    rootDir: root,
    outDir: directory,
    typeRoots: [join(root, "node_modules/@types")],
  };
  const config = {
    extends: join(root, "tsconfig.json"),
    compilerOptions,
    include: [],
    files: [join(root, "packages/sluice/test/faults/support/stormer.ts")],
  };
  const file = join(directory, "tsconfig.json");
  writeFileSync(file, JSON.stringify(config));
  await promisify(execFile)(process.execPath, [
    join(root, "node_modules/typescript/bin/tsc"),
    "-p",
    file,
  ]);
  return directory;
}

interface Stormer {
  readonly log: string;
  /** Every line that it printed. */
  readonly lines: string[];
  readonly errors: string[];
  readonly child: ChildProcess;
  readonly closed: Promise<unknown>;
}

function start(directory: string, url: string, i: number): Stormer {
  const log = join(directory, `log-${i}.jsonl`);
  const program = join(directory, "packages/sluice/test/faults/support/stormer.js");
  const client = driverNames[i % driverNames.length] as string;
  const child = spawn(process.execPath, [program, client, url, log], { stdio: "pipe" });
  const [lines, errors]: [string[], string[]] = [[], []];
  createInterface(child.stdout).on("line", (line) => lines.push(line));
  createInterface(child.stderr).on("line", (line) => errors.push(line));
  return { log, lines, errors, child, closed: once(child, "close") };
}

const readyTimes = ({ lines }: Stormer): number => lines.filter((line) => line === "ready").length;

test(`${PROCESSES} processes reconnect at once`, async () => {
  const server = await startVictim();
  onTestFinished(() => server.stop());
  const directory = await compile();
  const storm: Stormer[] = [];
  onTestFinished(() => {
    for (const { child } of storm) child.kill("SIGKILL");
  });
  const allReady = (times: number) =>
    expect.poll(() => storm.filter((each) => readyTimes(each) < times).length).toBe(0);
  // Not all at once: to start is work, which other tests on this machine would feel.
  while (storm.length < PROCESSES) {
    for (let i = 0; i < AT_ONCE; i++) storm.push(start(directory, server.url, storm.length));
    await allReady(1);
  }

  await server.kill();
  await server.restart();
  const fromMs = performance.now();
  for (const { child } of storm) child.stdin?.write("again\n");
  await allReady(2);
  const recoveredMs = performance.now() - fromMs;

  for (const { child } of storm) child.stdin?.end();
  await Promise.all(storm.map(({ closed }) => closed));
  expect(storm.flatMap(({ errors }) => errors)).toEqual([]);
  const results = storm.map(({ lines }) => JSON.parse(lines.at(-1) ?? "") as Stormed);
  const sum = (count: (result: Stormed) => number): number =>
    results.reduce((total, result) => total + count(result), 0);
  expect(sum(({ late }) => late)).toBe(0);
  expect(sum(({ failed }) => failed)).toBeGreaterThan(0);
  const over = unitsOver(await auditFiles(storm.map(({ log }) => log)), 1);
  say(
    `storm of ${PROCESSES} processes: ${sum(({ store }) => store)} store, ` +
      `${sum(({ failed }) => failed)} fail-closed; recovered after ${recoveredMs.toFixed()} ms; ` +
      `${over.toFixed(1)} units over the bound`,
  );
});

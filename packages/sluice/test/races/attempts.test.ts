/** Several processes write logs of attempts through an outage and a kill: all of it is audited, and what is planted noticed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { buildProgram } from "../support/built.js";
import { runNode } from "../support/processes.js";
import { startKeeper } from "../support/servers.js";

const PROCESSES = 4;
const WORKER = fileURLToPath(new URL("attempts-worker.mjs", import.meta.url));

/** A whole line of a call that asked for quota. */
const ATTEMPT = /^\{"atUs"(?!.*"verb":"(?:refund|penalize)").*"reason".*\}$/gm;

interface Worker {
  readonly child: ChildProcess;
  readonly file: string;
  /** Resolves when it has printed this line. */
  readonly said: (line: string) => Promise<void>;
  readonly ended: Promise<unknown>;
}

function startWorker(job: { dist: string; url: string; file: string; index: number }): Worker {
  const child = spawn(process.execPath, [WORKER, JSON.stringify(job)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (more: string) => {
    text += more;
  });
  const said = async (line: string): Promise<void> => {
    while (!text.includes(`${line}\n`)) await once(child.stdout, "data");
  };
  return { child, file: job.file, said, ended: once(child, "close") };
}

const audit = (cli: string, files: readonly string[], ...options: string[]) =>
  runNode(cli, "audit", ...files, ...options);

test("logs of several processes are audited as one", async (context) => {
  const keeper = await startKeeper(context);
  const built = await buildProgram(["redis"]);
  onTestFinished(() => {
    built.remove();
  });
  const { directory, cli } = built;
  const workers = Array.from({ length: PROCESSES }, (_, index) =>
    startWorker({
      dist: join(directory, "dist"),
      url: keeper.url,
      file: join(directory, `attempts-${index}.jsonl`),
      index,
    }),
  );
  await Promise.all(workers.map(({ said }) => said("begun")));
  keeper.suspend();
  await Promise.all(workers.map(({ said }) => said("local")));
  keeper.resume();
  const [victim, ...others] = workers as [Worker, ...Worker[]];
  victim.child.kill("SIGKILL");
  await victim.ended;
  for (const { child } of others) child.stdin?.end();
  const ends = await Promise.all(others.map(({ ended }) => ended));
  expect(ends).toEqual(others.map(() => [0, null]));
  // Killed in the middle of a line: where the kill came is up to the machine.
  truncateSync(victim.file, statSync(victim.file).size - 10);

  const files = readdirSync(directory)
    .filter((name) => name.startsWith("attempts-"))
    .map((name) => join(directory, name));
  expect(files.length).toBeGreaterThan(PROCESSES);
  const { code, stdout, stderr } = await audit(cli, files, "--json");
  expect(stderr).toBe("");
  const report = JSON.parse(stdout) as {
    readonly keys: readonly { readonly passed: boolean }[];
    readonly tally: { records: number; denied: number; unaudited: Record<string, object> };
    readonly matched: number;
    readonly stricter: number;
    readonly unclear: number;
  };
  expect(report.keys.filter(({ passed }) => !passed)).toEqual([]);
  expect(code).toBe(0);
  expect(report).toMatchObject({
    sessions: PROCESSES,
    incomplete: 1,
    lost: 0,
    torn: 1,
    keyCount: 9,
  });
  expect(report.tally.denied).toBeGreaterThan(0);
  expect(Object.keys(report.tally.unaudited)).toEqual(
    expect.arrayContaining(["local", "prefetch"]),
  );
  expect(report.matched).toBeGreaterThan(0);
  const attempts = files.flatMap((file) => readFileSync(file, "utf8").match(ATTEMPT) ?? []);
  expect(report.tally.records).toBe(attempts.length);

  // A denial of the API's store, turned into an admission.
  const denied = /("limiter":"api".*)/;
  const file = files.find((path) => deniedLine(path, denied) >= 0);
  if (file === undefined) throw new Error("no process was denied");
  plant(file, deniedLine(file, denied));
  const refuted = await audit(cli, files);
  expect(refuted.stdout).toContain("REFUTED on 1 of 9 keys");
  expect(refuted.stdout).toContain(`${file}:${deniedLine(file, /"planted":true/) + 1}`);
  expect(refuted.code).toBe(1);
  expect(dirname(file)).toBe(directory);
});

/** The first denial by the store for lack of quota, in the middle of the log. */
function deniedLine(file: string, like: RegExp): number {
  return readFileSync(file, "utf8")
    .split("\n")
    .findIndex(
      (line) =>
        like.test(line) &&
        (line.includes('"planted"') ||
          (line.includes('"allowed":false') &&
            line.includes('"reason":"quota"') &&
            line.includes('"source":"store"'))),
    );
}

function plant(file: string, at: number): void {
  const lines = readFileSync(file, "utf8").split("\n");
  const line = JSON.parse(lines[at] as string) as object;
  // More than there ever is: what a killed process had not yet written may leave room for a few.
  const planted = {
    ...line,
    cost: 1000,
    allowed: true,
    granted: 1000,
    reason: "ok",
    planted: true,
  };
  lines[at] = JSON.stringify(planted);
  writeFileSync(file, lines.join("\n"));
}

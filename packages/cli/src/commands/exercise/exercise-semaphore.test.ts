import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../../../../sluice/test/support/eventually.js";
import { fakeProcess } from "../../../test/io.js";
import { run } from "../../run.js";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-semaphore-"));
});
afterAll(() => rm(directory, { recursive: true }));

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function sluice(...argv: string[]): Promise<Finished> {
  const process = fakeProcess();
  const code = await run(argv, process.io);
  return { code, stdout: process.stdout(), stderr: process.stderr() };
}

const exercise = (...argv: string[]): Promise<Finished> =>
  sluice("exercise", "demo", "--semaphore", "--delay", "0", ...argv);

async function resultOf(...argv: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await exercise("--json", ...argv);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function auditOf(log: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await sluice("audit", log, "--json");
  expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function recordsOf(log: string): Promise<Record<string, unknown>[]> {
  const lines = (await readFile(log, "utf8")).trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("sluice exercise --semaphore", () => {
  test("serves all who wait, and counts them", async () => {
    const load = ["--limit", "2", "--calls", "7", "--concurrency", "4", "--hold", "1ms"];
    expect(await resultOf(...load)).toMatchObject({
      key: "demo",
      store: "memory",
      limit: 2,
      holdMs: 1,
      granted: 7,
      denied: 0,
      lost: 0,
      failed: 0,
      failures: {},
      interrupted: false,
    });
  });

  test("reports for people", async () => {
    const log = join(directory, "people.jsonl");
    const load = ["--limit", "3", "--calls", "1000", "--concurrency", "9", "--hold", "0"];
    const { code, stdout, stderr } = await exercise(...load, "--log", log);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const rows = stdout.trimEnd().split("\n");
    expect(rows).toHaveLength(5);
    expect(rows[0]).toBe("  key        demo, in the memory of this process");
    expect(rows[1]).toMatch(/^ {2}semaphore {2}3 at once, each held for 0 /);
    expect(rows[2]).toMatch(/^ {2}granted {4}1,000 \(\S+\/s\) in \d/);
    expect(rows[3]).toMatch(/^ {2}waited {5}p50 \S+ \S+, p99 \S+ \S+, longest \S+ \S+$/);
    expect(rows[4]).toBe(`  log        ${log}; check it with: sluice audit ${log}`);
  });

  test("holds for 50 ms unless told otherwise", async () => {
    const { stdout } = await exercise("--calls", "1");
    expect(stdout).toContain("10 at once, each held for 50 ms");
    expect(stdout).not.toContain("denied");
  });

  test("--lease is how long a permit is kept", async () => {
    const log = join(directory, "lease.jsonl");
    await resultOf("--calls", "1", "--hold", "0", "--lease", "12s", "--log", log);
    const [, grant] = await recordsOf(log);
    expect(Number(grant?.["untilUs"]) - Number(grant?.["granted"])).toBe(12e6);
  });

  test("--wait ends a wait, which counts as denied and not as failed", async () => {
    const log = join(directory, "denied.jsonl");
    const load = ["--limit", "1", "--calls", "3", "--concurrency", "3", "--hold", "1s"];
    const result = await resultOf(...load, "--wait", "10ms", "--log", log);
    expect(result).toMatchObject({
      maxWaitMs: 10,
      granted: 1,
      denied: 2,
      failed: 0,
      interrupted: false,
    });
    const denied = (await recordsOf(log)).filter((record) => "denied" in record);
    expect(denied.map((record) => record["denied"])).toEqual(Array(2).fill("MAX_WAIT_EXCEEDED"));
    expect(await auditOf(log)).toMatchObject({ passed: true, grants: 1, denied: 2, failed: 0 });
    expect((await sluice("audit", log)).stdout).toContain(
      "denied     2 acquisitions gave up waiting",
    );
  });

  test("--wait 0 takes a permit or goes without", async () => {
    const load = ["--limit", "2", "--calls", "3", "--concurrency", "3", "--hold", "1s"];
    const { code, stdout } = await exercise(...load, "--wait", "0");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}granted {4}2 /m);
    expect(stdout).toMatch(/^ {2}denied {5}1 within 0 /m);
  });

  test("ends at Ctrl-C with what it did: nothing is held any more, and the log is whole", async () => {
    const log = join(directory, "interrupted.jsonl");
    const process = fakeProcess();
    const load = ["--limit", "2", "--calls", "100000", "--concurrency", "5", "--hold", "5ms"];
    const running = run(
      ["exercise", "demo", "--semaphore", ...load, "--log", log, "--json"],
      process.io,
    );
    await eventually(async () => expect((await recordsOf(log)).length).toBeGreaterThan(10));
    process.interrupt();
    expect({ code: await running, stderr: process.stderr() }).toEqual({ code: 0, stderr: "" });
    const result = JSON.parse(process.stdout()) as { granted: number };
    expect(result).toMatchObject({ interrupted: true, denied: 0, failed: 0, lost: 0 });
    expect(result.granted).toBeGreaterThan(0);
    expect(await auditOf(log)).toMatchObject({
      passed: true,
      grants: result.granted,
      keys: [{ most: 2, unreleased: 0 }],
    });
  });

  test("says for people that it was ended", async () => {
    const process = fakeProcess();
    const running = run(
      ["exercise", "demo", "--semaphore", "--limit", "1", "--hold", "1h"],
      process.io,
    );
    process.interrupt();
    expect(await running).toBe(0);
    expect(process.stdout()).toMatch(/granted {4}[01] .*; ended before 500$/m);
  });

  test.each([
    [["--cost", "2"], "--cost belongs to a policy; a semaphore has --limit"],
    [["--period", "1s"], "--period belongs to a policy"],
    [["--algorithm", "gcra"], "--algorithm belongs to a policy"],
    [["--policy", "{}"], "--policy belongs to a policy"],
    [["--limit", "0"], "--limit"],
    [["--limit", "1.5"], "--limit"],
    [["--hold", "soon"], "--hold"],
    [["--wait", "soon"], "--wait"],
    [["--lease", "soon"], "--lease"],
    [["--calls", "0"], "--calls"],
    [["--concurrency", "20000"], "--concurrency"],
    [["more"], "key"],
  ])("refuses %j as a usage error", async (argv, message) => {
    const { code, stdout, stderr } = await exercise(...argv);
    expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
  });

  test.each(["hold", "lease"])("--%s goes with --semaphore", async (name) => {
    const { code, stderr } = await sluice("exercise", "demo", `--${name}`, "1s");
    expect(code).toBe(2);
    expect(stderr).toContain(`--${name} goes with --semaphore`);
  });
});

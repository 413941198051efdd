/** What `sluice bench` measures on a real Redis, and that it leaves nothing there. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { expect, inject, onTestFinished, test } from "vitest";
import { run } from "../../src/run.js";
import { fakeProcess } from "../io.js";

async function bench(...argv: string[]) {
  const process = fakeProcess();
  const code = await run(["bench", "--time", "50ms", ...argv], process.io);
  return { code, stdout: process.stdout(), stderr: process.stderr() };
}

interface Result {
  readonly inFlight: number;
  readonly calls: number;
  readonly failed: number;
  readonly callsPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

const resultsIn = (stdout: string): readonly Result[] =>
  (JSON.parse(stdout) as { results: Result[] }).results;

async function keysLeft(namespace: string): Promise<readonly string[]> {
  const redis = new Redis(inject("redisUrl"));
  try {
    return await redis.keys(`${namespace}:*`);
  } finally {
    redis.disconnect();
  }
}

test("each number in flight is measured on Redis, and no key stays", async () => {
  const argv = ["--json", "--concurrency", "1,32", "--keys", "40", "--namespace", "benched"];
  const { code, stdout, stderr } = await bench(...argv, "--redis", inject("redisUrl"));
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const results = resultsIn(stdout);
  expect(results.map(({ inFlight }) => inFlight)).toEqual([1, 32]);
  for (const { calls, failed, callsPerSecond, p50Us, p99Us } of results) {
    expect(calls).toBeGreaterThan(0);
    expect(failed).toBe(0);
    expect(callsPerSecond).toBeGreaterThan(0);
    expect(p99Us).toBeGreaterThanOrEqual(p50Us);
  }
  expect(await keysLeft("benched")).toEqual([]);
});

test("Ctrl-C ends it, and no key stays", async () => {
  const process = fakeProcess();
  const argv = ["--concurrency", "4", "--namespace", "broken-off", "--redis", inject("redisUrl")];
  const ended = run(["bench", "--time", "1m", ...argv], process.io);
  await expect.poll(async () => (await keysLeft("broken-off")).length).toBeGreaterThan(0);
  process.interrupt();
  expect(await ended).toBe(0);
  expect(process.stdout()).toContain("interrupted");
  expect(await keysLeft("broken-off")).toEqual([]);
});

test("the rules of a document are measured each, in memory", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-bench-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "policies.yaml");
  writeFileSync(
    file,
    `rules:
  - name: api
    key: [user]
    policy: { algorithm: token-bucket, limit: 100, period: 1m }
  - name: login
    key: [user]
    policy: { algorithm: sliding-log, limit: 5, window: 15m }
`,
  );
  const { code, stdout } = await bench("--policies", file, "--concurrency", "8");
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^in the memory of this process, 1,000 keys, 50 ms each after a warm-up\n/,
  );
  expect(stdout).toMatch(/^rule api: token-bucket "api": 100 per 1 min/m);
  expect(stdout).toMatch(/^rule login: sliding-log "login"/m);
  expect(stdout.match(/^ +8 +[\d.,]+ .*[█#]/gm)).toHaveLength(2);
  expect(stdout).toContain("run it again");
});

test("calls that fail are counted, and make the exit code 1", async () => {
  const { redisUrl } = { redisUrl: inject("redisUrl") };
  const redis = new Redis(redisUrl);
  onTestFinished(() => redis.disconnect());
  await redis.call("ACL", "SETUSER", "benchless", "on", ">pw", "~*", "+@all", "-set");
  onTestFinished(async () => void (await redis.call("ACL", "DELUSER", "benchless")));
  const url = redisUrl.replace("//", "//benchless:pw@");
  const { code, stdout } = await bench("--concurrency", "2", "--keys", "1", "--redis", url);
  expect(code).toBe(1);
  expect(stdout).toMatch(/calls failed; they are not in the numbers/);
  expect(stdout).not.toContain("benchless:pw");
});

test.each([
  [["--concurrency", "0"], "--concurrency"],
  [["--concurrency", "1,x"], "--concurrency"],
  [["--keys", "0"], "--keys"],
  [["--time", "2m"], "--time is from 1ms to 1m"],
  [["--policies", "none.yaml", "--limit", "1"], "--limit and --policies exclude each other"],
  [["--policies", "none.yaml"], "none.yaml"],
  [["more"], "unexpected argument more"],
])("%j is refused", async (argv, why) => {
  const process = fakeProcess();
  expect(await run(["bench", ...argv], process.io)).toBe(2);
  expect(process.stderr()).toContain(why);
});

/** Processes that are killed, stopped, or end, while they hold a place or wait for one. */
import { createReadStream } from "node:fs";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { startRedis } from "../../scripts/redis-server.mjs";
import { auditSemaphore } from "../../src/audit/semaphore-audit.js";
import { type Hold, readSemaphoreLogs } from "../../src/audit/semaphore-log.js";
import { systemClock } from "../../src/core/clock.js";
import { Semaphore } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { type Running, startNode } from "../support/processes.js";

const worker = fileURLToPath(new URL("./semaphore-worker.mjs", import.meta.url));
/** `SLUICE_KILL_SECONDS=30` for the long run. */
const SECONDS = Number(process.env["SLUICE_KILL_SECONDS"] ?? 4);
const WORKERS = 5;
const LEASE_MS = 1000;

let redis: Awaited<ReturnType<typeof startRedis>>;
let built: BuiltPackage;
beforeAll(async () => {
  [redis, built] = await Promise.all([startRedis(), buildPackage(["redis"])]);
});
afterAll(async () => {
  await redis.stop();
  built.remove();
});

const start = (task: string, leaseMs = LEASE_MS, log = "", url = redis.url): Running =>
  startNode([worker, built.directory, task, url, `${leaseMs}ms`, log]);

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test(`kills of holders and waiters for ${SECONDS} s: no place is given twice, or lost for longer than its lease`, {
  timeout: SECONDS * 1000 + 60_000,
}, async () => {
  const logs: string[] = [];
  const begin = (): Running => {
    logs.push(`${built.directory}/deaths-${logs.length}.jsonl`);
    return start("contend", LEASE_MS, logs.at(-1));
  };
  const running = Array.from({ length: WORKERS }, begin);
  const ends = performance.now() + SECONDS * 1000;
  const killedAtUs: number[] = [];
  while (performance.now() < ends) {
    await sleep(300 + Math.random() * 500);

    killedAtUs.push(systemClock.nowUs());
    const [victim] = running.splice(Math.floor(Math.random() * running.length), 1);
    victim?.child.kill("SIGKILL");
    running.push(begin());
  }
  for (const { child } of running) child.kill("SIGKILL");
  const stderr = await Promise.all(running.map(async ({ ended }) => (await ended).stderr));
  expect(stderr.join("")).toBe("");

  const sources = logs.map((name) => ({ name, open: () => createReadStream(name) }));
  // The youngest may not have come to write a line. The reader refuses a fence that was given twice.
  const written = await Promise.all(
    sources.map(async (source) => ((await hasLines(source.name)) ? [source] : [])),
  );
  const log = await readSemaphoreLogs(written.flat());
  const report = auditSemaphore(log);
  expect(report).toMatchObject({ passed: true, keys: [{ most: 2 }] });
  const unreleased = report.keys[0]?.unreleased ?? 0;
  const idleMs = longestIdleMs(log.holds, log.limit, killedAtUs);
  process.stdout.write(
    `semaphore under kills: ${report.grants} grants, ${unreleased} of killed holders, a place idle for ${idleMs.toFixed(1)} ms at most\n`,
  );
  expect(unreleased).toBeGreaterThan(0);
  expect(idleMs).toBeLessThan(LEASE_MS);
});

async function hasLines(file: string): Promise<boolean> {
  try {
    for await (const _ of createReadStream(file)) return true;
    return false;
  } catch {
    return false;
  }
}

/**
 * The longest time, from the last kill on, for which somebody waited and yet not all places were held. A place that
 * a killed process holds counts as held until its lease ends, as it must; one handed to a killed waiter does not.
 */
function longestIdleMs(
  holds: readonly Hold[],
  limit: number,
  killedAtUs: readonly number[],
): number {
  const changes = holds.flatMap(({ fence, untilUs, releasedAtUs }) => [
    { atUs: fence, by: 1 },
    { atUs: Math.max(fence, Math.min(releasedAtUs ?? untilUs, untilUs)), by: -1 },
  ]);
  changes.sort((a, b) => a.atUs - b.atUs || a.by - b.by);
  const lastGrantUs = Math.max(...holds.map(({ fence }) => fence));
  let held = 0;
  // Before that the processes were still starting.
  let wasFull = false;
  let idleSinceUs = 0;
  let longestUs = 0;
  for (const { atUs, by } of changes) {
    if (atUs > lastGrantUs) break;
    if (wasFull && held < limit) {
      const kills = killedAtUs.filter((killed) => killed < atUs);
      longestUs = Math.max(longestUs, atUs - Math.max(idleSinceUs, ...kills));
    }
    held += by;
    wasFull ||= held === limit;
    if (by < 0) idleSinceUs = atUs;
  }
  return longestUs / 1e3;
}

/** A semaphore in this process on the key of the others. */
async function ours(leaseMs: number): Promise<Semaphore> {
  const client = new Redis(redis.url);
  const store = new RedisStore({ client });
  const semaphore = new Semaphore({ limit: 1, leaseDuration: leaseMs, timeout: "5s", store });
  onTestFinished(async () => {
    await semaphore.close();
    await store.close();
    await client.quit();
  });
  return semaphore;
}

test("a stopped holder finds that it lost its place when it wakes, and changes nothing any more", async () => {
  const leaseMs = 1000;
  const semaphore = await ours(leaseMs);
  const { child, ended } = start("stopped", leaseMs);
  const fence = await new Promise<bigint>((resolve) => {
    child.stdout?.once("data", (text: string) => {
      resolve(BigInt(/^held (\d+)/.exec(text)?.[1] ?? 0));
    });
  });
  child.kill("SIGSTOP");
  const permit = await semaphore.acquire("hot");
  expect(permit.fencingToken).toBeGreaterThan(fence);
  child.kill("SIGCONT");
  const { code, stdout, stderr } = await ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("lost true LEASE_LOST");
  expect(stdout).toContain("released");
  expect(await semaphore.inspect("hot")).toMatchObject({ held: 1 });
  expect(permit.lost.aborted).toBe(false);
  await permit.release();
});

test("a process that ends while it waits is passed over, within less than a lease", async () => {
  const semaphore = await ours(LEASE_MS);
  const permit = await semaphore.acquire("hot");
  const { code } = await start("exit").ended;
  expect(code).toBe(0);
  expect(await semaphore.inspect("hot")).toMatchObject({ held: 1, waiting: 1 });
  const next = semaphore.acquire("hot");
  await permit.release();
  await (await next).release();
  expect(await semaphore.inspect("hot")).toMatchObject({ held: 0, waiting: 0 });
});

test("a process with nothing else to do waits for a place, but does not live to renew one", async () => {
  const { code, stdout, stderr } = await start("wait", LEASE_MS, "", "").ended;
  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: "MaxWaitExceededError\n",
    stderr: "",
  });
});

/** Many processes in one line: nobody starts early, the line is never idle, and it costs a script call each. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "redis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkBound } from "../../src/audit/bound.js";
import { leakyBucket, type Policy, type Start, tokenBucket } from "../../src/index.js";
import { record } from "../audit/records.js";
import { runNode } from "../support/processes.js";
import { concatenate, type Races, startRaces } from "../support/races.js";

const PROCESSES = 8;
const CALLS = 200;
const WORKER = fileURLToPath(new URL("./line-worker.mjs", import.meta.url));

let races: Races;
beforeAll(async () => {
  races = await startRaces();
});
afterAll(() => races.end());

type Started = Start & { readonly startedAtUs: number };

async function scriptCalls(): Promise<number> {
  const client = createClient({ url: races.redisUrl });
  await client.connect();
  try {
    const stats = await client.info("commandstats");
    const counts = [...stats.matchAll(/cmdstat_(?:eval|evalsha):calls=(\d+)/g)];
    return counts.reduce((sum, [, count]) => sum + Number(count), 0);
  } finally {
    await client.close();
  }
}

const percentile = (sorted: readonly number[], part: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] as number;

describe(`${PROCESSES} processes of ${CALLS} acquires on one key`, () => {
  const limit = 400;
  const cases: readonly (readonly [string, Policy, number])[] = [
    ["a token bucket", tokenBucket({ limit, period: "1s", burst: 20 }), 20],
    ["a leaky bucket", leakyBucket({ limit, period: "1s", capacity: 2000 }), 1],
  ];
  test.each(cases)("%s: in time, as fast as it may be, a call each", async (...each) => {
    const [kind, policy, atOnce] = each;
    await races.forgetKeys();
    const dist = join(races.cli, "../..");
    const args = [WORKER, dist, races.redisUrl, PROCESSES, CALLS, JSON.stringify(policy)];
    const before = await scriptCalls();
    const ended = await Promise.all(
      Array.from({ length: PROCESSES }, () => runNode(...args.map(String))),
    );
    const calls = (await scriptCalls()) - before;
    for (const { code, stderr } of ended) expect(code, stderr).toBe(0);
    const starts = ended
      .flatMap(({ stdout }) => JSON.parse(stdout) as Started[])
      .sort((a, b) => a.readyAtUs - b.readyAtUs);
    expect(starts).toHaveLength(PROCESSES * CALLS);
    expect(calls).toBeLessThanOrEqual(PROCESSES * CALLS);

    // A machine's processes and its server read one clock.
    for (const { startedAtUs, readyAtUs } of starts) {
      expect(startedAtUs).toBeGreaterThanOrEqual(readyAtUs);
    }
    const records = starts.map(({ decidedAtUs, readyAtUs }) =>
      record({ atUs: decidedAtUs, readyAtUs, granted: 1 }),
    );
    expect(checkBound(policy, records)).toMatchObject({ holds: true });
    const first = Math.min(...starts.map(({ decidedAtUs }) => decidedAtUs));
    const last = (starts.at(-1) as Started).readyAtUs;
    // All but those that a fresh bucket lets start at once come one by one.
    expect(last - first).toBe(((PROCESSES * CALLS - atOnce) / limit) * 1e6);

    const late = starts.map(({ lateMs }) => lateMs).sort((a, b) => a - b);
    expect(late[0]).toBeGreaterThanOrEqual(0);
    const [p50, p99] = [percentile(late, 0.5), percentile(late, 0.99)];
    process.stdout.write(
      `${kind}: ${calls} script calls for ${starts.length} acquires; ` +
        `lateness p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms\n`,
    );
  });
});

test("exercises that wait keep the bound, and every promise is the kernel's", async () => {
  for (const policy of [
    tokenBucket({ limit: 299, period: "1s", burst: 7 }),
    leakyBucket({ limit: 300, period: "997ms", capacity: 50 }),
    [
      tokenBucket({ name: "burst", limit: 300, period: "1s", burst: 20 }),
      tokenBucket({ name: "long", limit: 10_000, period: "1m", burst: 90 }),
    ],
  ]) {
    await races.forgetKeys();
    const logs = Array.from({ length: 4 }, () => races.newFile());
    const load = ["--calls", "150", "--concurrency", "30", "--delay", "0", "--wait", "300ms"];
    const results = await Promise.all(
      logs.map(async (log) => {
        const limiter = ["--policy", JSON.stringify(policy), "--redis", races.redisUrl];
        const options = [...limiter, ...load, "--timeout", "30s", "--log", log, "--json"];
        const { code, stdout, stderr } = await runNode(races.cli, "exercise", "hot", ...options);
        expect(code, stderr).toBe(0);
        return JSON.parse(stdout) as { allowed: number; latenessUs: { p99: number } | null };
      }),
    );
    // A process that comes when the line is full may get no start at all.
    for (const { allowed, latenessUs } of results) {
      if (allowed === 0) expect(latenessUs).toBeNull();
      else expect(latenessUs?.p99).toBeGreaterThanOrEqual(0);
    }
    expect(results.some(({ allowed }) => allowed > 0)).toBe(true);
    const merged = await concatenate(logs, races.newFile());
    const { code, stdout, stderr } = await runNode(races.cli, "audit", merged, "--json");
    expect(code, stdout + stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      passed: true,
      keys: [{ replay: { matches: true, replayed: 600 } }],
    });
  }
});

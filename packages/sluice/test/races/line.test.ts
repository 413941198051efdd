/** Many processes in one line: nobody starts early, the line is never idle, and it costs a script call each. */
import { fileURLToPath } from "node:url";
import { createClient } from "redis";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { checkBound } from "../../src/audit/bound.js";
import { leakyBucket, type Policy, RateLimiter, type Start, tokenBucket } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { record } from "../support/records.js";
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
type Acquired = Started | { readonly refused: string };

const isStarted = (acquired: Acquired): acquired is Started => !("refused" in acquired);

/** What `processes` get for so many calls of each, all at once. */
async function acquireAll(
  policy: Policy,
  processes: number,
  calls: number,
  ...more: string[]
): Promise<Acquired[]> {
  const args = [
    WORKER,
    races.dist,
    races.redisUrl,
    processes,
    calls,
    JSON.stringify(policy),
    ...more,
  ];
  const ended = await Promise.all(
    Array.from({ length: processes }, () => runNode(...args.map(String))),
  );
  for (const { code, stderr } of ended) expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return ended.flatMap(({ stdout }) => JSON.parse(stdout) as Acquired[]);
}

/** From one to the next. */
const gapsOf = (sorted: readonly number[]): number[] =>
  sorted.slice(1).map((each, i) => each - (sorted[i] as number));

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
    const before = await scriptCalls();
    const acquired = await acquireAll(policy, PROCESSES, CALLS);
    const calls = (await scriptCalls()) - before;
    const starts = acquired
      .filter(isStarted)
      .sort((a, b) => a.decidedAtUs - b.decidedAtUs || a.readyAtUs - b.readyAtUs);
    expect(starts).toHaveLength(PROCESSES * CALLS);
    expect(calls).toBeLessThanOrEqual(PROCESSES * CALLS);

    // A machine's processes and its server read one clock.
    for (const { startedAtUs, readyAtUs } of starts) {
      expect(startedAtUs).toBeGreaterThanOrEqual(readyAtUs);
    }
    // One in line starts when those before it leave room, and not a µs later: processes that came late left it idle,
    // which is theirs to do.
    const spacingUs = 1e6 / limit;
    let fullAtUs = 0;
    let waited = 0;
    for (const { decidedAtUs, readyAtUs } of starts) {
      fullAtUs = Math.max(fullAtUs, decidedAtUs) + spacingUs;
      expect(readyAtUs).toBe(Math.max(decidedAtUs, fullAtUs - atOnce * spacingUs));
      if (readyAtUs > decidedAtUs) waited += 1;
    }
    // Each asked for all at once, of which no more than these can start.
    expect(waited).toBeGreaterThanOrEqual(CALLS - atOnce);
    const records = starts.map(({ decidedAtUs, readyAtUs }) =>
      record({ atUs: decidedAtUs, readyAtUs, granted: 1 }),
    );
    expect(checkBound(policy, records)).toMatchObject({ holds: true });

    const late = starts.map(({ lateMs }) => lateMs).sort((a, b) => a - b);
    expect(late[0]).toBeGreaterThanOrEqual(0);
    const [p50, p99] = [percentile(late, 0.5), percentile(late, 0.99)];
    process.stdout.write(
      `${kind}: ${calls} script calls for ${starts.length} acquires; ` +
        `lateness p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms\n`,
    );
  });
});

test("a full queue refuses over all processes: never are more than its capacity in line", async () => {
  await races.forgetKeys();
  const [limit, capacity] = [400, 50];
  const policy = leakyBucket({ limit, period: "1s", capacity });
  const acquired = await acquireAll(policy, PROCESSES, CALLS);
  expect(acquired).toHaveLength(PROCESSES * CALLS);
  const starts = acquired.filter(isStarted).sort((a, b) => a.readyAtUs - b.readyAtUs);
  const refusals = acquired.flatMap((each) => (isStarted(each) ? [] : [each.refused]));
  expect([...new Set(refusals)]).toEqual(["QUEUE_FULL"]);
  expect(starts.length).toBeGreaterThanOrEqual(capacity);

  const spacingUs = 1e6 / limit;
  expect(Math.min(...gapsOf(starts.map(({ readyAtUs }) => readyAtUs)))).toBeGreaterThanOrEqual(
    spacingUs,
  );
  for (const { decidedAtUs, readyAtUs, startedAtUs } of starts) {
    expect(startedAtUs).toBeGreaterThanOrEqual(readyAtUs);
    // Whoever comes last has all the others before it.
    expect(readyAtUs - decidedAtUs).toBeLessThanOrEqual((capacity - 1) * spacingUs);
    const inLine = starts.filter(
      (other) =>
        other.decidedAtUs <= decidedAtUs &&
        other.readyAtUs <= readyAtUs &&
        other.readyAtUs + spacingUs > decidedAtUs,
    );
    expect(inLine.length).toBeLessThanOrEqual(capacity);
  }
});

test.each<[string, Policy, number]>([
  ["a token bucket", tokenBucket({ limit: 1, period: "1h", burst: 1 }), 3600e6],
  ["a leaky bucket", leakyBucket({ limit: 1, period: "1h", capacity: 10 }), 3600e6],
])("a process that ends while its calls wait leaves their places in %s taken", async (...each) => {
  const [, policy, spacingUs] = each;
  await races.forgetKeys();
  const [first] = await acquireAll(policy, 1, 3, "gone");
  const store = await RedisStore.connect(races.redisUrl);
  const limiter = new RateLimiter({ policy, store, timeout: "30s", onStoreFailure: "throw" });
  onTestFinished(async () => {
    await limiter.close();
    await store.close();
  });
  // The first started, two waited; this one is the fourth.
  const next = await limiter.reserve("hot");
  expect(next.allowed && next.readyAtUs - (first as Started).readyAtUs).toBe(3 * spacingUs);
});

test("acquires one after another are a script call each, whether they wait or not", async () => {
  await races.forgetKeys();
  const store = await RedisStore.connect(races.redisUrl);
  const policy = tokenBucket({ limit: 50, period: "1s", burst: 20 });
  const limiter = new RateLimiter({ policy, store, timeout: "30s", onStoreFailure: "throw" });
  onTestFinished(async () => {
    await limiter.close();
    await store.close();
  });
  // The server knows the scripts, and the bucket owes what takes seconds to come back: the first waits for it,
  // however slowly this machine asks.
  await limiter.acquire("hot");
  await limiter.penalize("hot", 170);
  const before = await scriptCalls();
  let waited = 0;
  for (let i = 0; i < 100; i++) {
    const { readyAtUs, decidedAtUs } = await limiter.acquire("hot");
    if (readyAtUs > decidedAtUs) waited += 1;
  }
  expect((await scriptCalls()) - before).toBe(100);
  expect(waited).toBeGreaterThan(0);
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

/** Many processes, one key: `sluice exercise` at it from all sides, `sluice audit` on what they saw. */
import { concatenate, type Races, startRaces } from "../support/races.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  calendarWindow,
  fixedWindow,
  gcra,
  leakyBucket,
  type Policy,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../src/index.js";
import { runNode } from "../support/processes.js";
import { runs } from "../support/runs.js";

const PROCESSES = 4;
/** Enough of them that processes which start one after another meet. */
const CALLS = runs(5000, 1500);

/** Far less than a busy machine asks for, and back many times meanwhile; the calendar's window just runs out. */
const POLICIES: readonly (readonly [kind: string, policy: Policy | readonly Policy[]])[] = [
  ["a token bucket", tokenBucket({ limit: 601, period: "1s", burst: 100 })],
  [
    "a token bucket by intervals",
    tokenBucket({ limit: 30, period: 50, burst: 60, refill: "interval" }),
  ],
  ["gcra", gcra({ limit: 599, period: "1s", burst: 7 })],
  ["a leaky bucket", leakyBucket({ limit: 600, period: "997ms", capacity: 50 })],
  ["a fixed window by the clock", fixedWindow({ limit: 30, window: 50 })],
  ["a fixed window from the first hit", fixedWindow({ limit: 30, window: 50, align: "first" })],
  ["a calendar window", calendarWindow({ limit: CALLS, unit: "minute", timeZone: "Asia/Kolkata" })],
  ["a sliding window", slidingWindow({ limit: 60, window: 100 })],
  ["a sliding log", slidingLog({ limit: 60, window: 100 })],
  [
    "three policies at once",
    [
      tokenBucket({ name: "burst", limit: 600, period: "1s", burst: 200 }),
      slidingLog({ name: "peak", limit: 80, window: 100 }),
      fixedWindow({ name: "total", limit: 2000, window: "365d", align: "first" }),
    ],
  ],
];

let races: Races;
beforeAll(async () => {
  races = await startRaces();
});
afterAll(() => races.end());

/** What the test reads of `exercise --json`. */
interface Exercised {
  readonly attempted: number;
  readonly allowed: number;
  readonly denied: number;
  readonly failed: number;
  readonly decidedAtUs: { readonly first: number; readonly last: number };
}

/** How often all processes were at work at the same moment. */
let contended = 0;

async function exercise(
  policy: Policy | readonly Policy[],
  log: string,
  calls: number,
): Promise<Exercised> {
  const limiter = ["--policy", JSON.stringify(policy), "--redis", races.redisUrl];
  const load = ["--calls", String(calls), "--concurrency", "32", "--delay", "0"];
  const options = [...limiter, ...load, "--timeout", "30s", "--log", log, "--json"];
  const { code, stdout, stderr } = await runNode(races.cli, "exercise", "hot", ...options);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Exercised;
}

async function exerciseAll(
  policy: Policy | readonly Policy[],
  logs: readonly string[],
  calls: number,
): Promise<readonly Exercised[]> {
  await races.forgetKeys();
  const results = await Promise.all(logs.map((log) => exercise(policy, log, calls)));
  const firsts = results.map(({ decidedAtUs }) => decidedAtUs.first);
  const lasts = results.map(({ decidedAtUs }) => decidedAtUs.last);
  if (Math.max(...firsts) < Math.min(...lasts)) contended += 1;
  return results;
}

const newLogs = (): string[] => Array.from({ length: PROCESSES }, () => races.newFile());

describe(`${PROCESSES} processes of ${CALLS} calls on one key`, () => {
  test.each(POLICIES)(
    "keep the bound of %s, and every decision is the kernel's",
    async (...each) => {
      const [, policy] = each;
      const logs = newLogs();
      const results = await exerciseAll(policy, logs, CALLS);
      const sum = (count: (result: Exercised) => number): number =>
        results.reduce((total, result) => total + count(result), 0);
      expect(sum(({ attempted }) => attempted)).toBe(PROCESSES * CALLS);
      expect(sum(({ failed }) => failed)).toBe(0);
      expect(sum(({ allowed }) => allowed)).toBeGreaterThan(0);
      expect(sum(({ denied }) => denied)).toBeGreaterThan(0);
      const merged = await concatenate(logs, races.newFile());
      const { code, stdout, stderr } = await runNode(races.cli, "audit", merged, "--json");
      expect(code, stdout + stderr).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        passed: true,
        tally: { records: PROCESSES * CALLS, unaudited: {} },
        failedCalls: 0,
        keys: [{ replay: { matches: true, replayed: PROCESSES * CALLS } }],
      });
    },
  );

  test("were really at it together", async () => {
    const [, policy] = POLICIES[0] as (typeof POLICIES)[number];
    // Of processes that a busy machine starts one after another, each may be done before the next begins.
    for (let calls = 2 * CALLS; contended === 0 && calls <= 64 * CALLS; calls *= 2) {
      await exerciseAll(policy, newLogs(), calls);
    }
    expect(contended).toBeGreaterThan(0);
  });
});

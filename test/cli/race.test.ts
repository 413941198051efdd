/** Several processes, one key, one Redis: their logs together must pass the audit. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { auditFiles } from "../../src/audit/audit.js";
import { type BuiltCli, buildCli } from "./processes.js";

const PROCESSES = 4;
const CALLS = 5000;

let cli: BuiltCli;
beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.remove());

/** Rates that admit some and deny some all along, and that do not divide their periods. */
const LIMITERS: Record<string, object> = {
  "token bucket": { algorithm: "token-bucket", limit: 997, period: "1s", burst: 50 },
  "token bucket, interval refill": {
    algorithm: "token-bucket",
    limit: 31,
    period: "29ms",
    burst: 40,
    refill: "interval",
  },
  gcra: { algorithm: "gcra", limit: 700, period: "1s", burst: 2.5 },
  "leaky bucket": { algorithm: "leaky-bucket", limit: 7, period: "11ms", capacity: 20 },
  "fixed window": { algorithm: "fixed-window", limit: 50, window: "90ms" },
  "fixed window, first": { algorithm: "fixed-window", limit: 50, window: "90ms", align: "first" },
  "calendar window": {
    algorithm: "calendar-window",
    limit: 5000,
    unit: "minute",
    timeZone: "Asia/Kathmandu",
  },
  "sliding window": { algorithm: "sliding-window", limit: 60, window: "70ms" },
  "sliding log": { algorithm: "sliding-log", limit: 60, window: "70ms" },
};
const TOGETHER = Object.values(LIMITERS).map((policy, index) => ({
  ...policy,
  name: `policy-${index}`,
}));

describe(`${PROCESSES} processes of ${CALLS} calls keep one limit`, () => {
  for (const [title, policy] of Object.entries({ ...LIMITERS, "all of these at once": TOGETHER })) {
    test(`of ${title}`, async () => {
      const logs = Array.from({ length: PROCESSES }, (_, index) =>
        join(cli.directory, `${title}-${index}.jsonl`),
      );
      const key = `${title}:${randomUUID()}`;
      const load = ["--calls", String(CALLS), "--delay", "0", "--concurrency", "16", "--json"];
      const runs = logs.map((log) => {
        const argv = ["exercise", key, "--policy", JSON.stringify(policy), "--log", log, ...load];
        // A machine that is busy with four processes and a server may keep one waiting.
        return cli.start([...argv, "--namespace", "race", "--timeout", "30s"], {
          SLUICE_REDIS_URL: inject("redisUrl"),
        });
      });
      for (const { ended } of runs) expect(await ended).toMatchObject({ code: 0, stderr: "" });

      const report = await auditFiles(logs);
      expect(report.keys.map(({ replay, bounds }) => ({ replay, bounds }))).toMatchObject([
        { replay: { matches: true }, bounds: report.policies.map(() => ({ holds: true })) },
      ]);
      expect(report).toMatchObject({
        passed: true,
        failedCalls: 0,
        tally: { records: PROCESSES * CALLS, unaudited: {} },
      });
      expect(report.tally.allowed).toBeGreaterThan(0);
      expect(report.tally.denied).toBeGreaterThan(0);
    });
  }
});

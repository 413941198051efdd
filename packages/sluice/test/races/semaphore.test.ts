/** Many processes at one semaphore: held to its limit and its order by the audit of what they saw. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runNode } from "../support/processes.js";
import { concatenate, type Races, startRaces } from "../support/races.js";

const PROCESSES = 20;
const LIMIT = 5;
const CALLS = 30;

let races: Races;
beforeAll(async () => {
  races = await startRaces();
});
afterAll(() => races.end());

interface Exercised {
  readonly granted: number;
  readonly failed: number;
  readonly lost: number;
}

async function exercise(log: string): Promise<Exercised> {
  const load = ["--calls", String(CALLS), "--concurrency", "3", "--delay", "0", "--hold", "5ms"];
  const where = ["--redis", races.redisUrl, "--timeout", "30s", "--log", log, "--json"];
  const options = ["--semaphore", "--limit", String(LIMIT), ...load, ...where];
  const { code, stdout, stderr } = await runNode(races.cli, "exercise", "hot", ...options);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Exercised;
}

describe(`${PROCESSES} processes at ${LIMIT} permits`, () => {
  test("never hold more at once, and are served in the order of the line", async () => {
    const logs = Array.from({ length: PROCESSES }, () => races.newFile());
    const results = await Promise.all(logs.map(exercise));
    for (const result of results) {
      expect(result).toMatchObject({ granted: CALLS, failed: 0, lost: 0 });
    }
    const merged = await concatenate(logs, races.newFile());
    const { code, stdout } = await runNode(races.cli, "audit", merged, "--json");
    expect(code, stdout).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      passed: true,
      limit: LIMIT,
      grants: PROCESSES * CALLS,
      failed: 0,
      // They were really at it together.
      keys: [{ most: LIMIT, unreleased: 0 }],
    });
    const { stdout: text } = await runNode(races.cli, "audit", ...logs);
    expect(text).toContain(`at most ${LIMIT} of ${LIMIT} held at once`);
    expect(text).toContain("PASSED");
  });
});

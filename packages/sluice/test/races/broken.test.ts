/** An audit is worth something only if it fails: limiters that are wrong on purpose. */
import { writeFile } from "node:fs/promises";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { auditFiles } from "../../src/audit/index.js";
import { headerLine, keyId, recordLine } from "../../src/audit/record.js";
import { type Decision, type Policy, RateLimiter } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { slowPolicies } from "../support/policies.js";
import { runNode } from "../support/processes.js";
import { type Races, startRaces } from "../support/races.js";

const CALLS = 100;

let races: Races;
let redis: Redis;
beforeAll(async () => {
  races = await startRaces();
  redis = new Redis(races.redisUrl);
});
afterAll(async () => {
  await redis.quit();
  await races.end();
});

/** Makes of a right decision what a limiter with this fault would have said; `call` counts from 0. */
type Fault = (decision: Decision, call: number) => Decision;

const right: Fault = (decision) => decision;

/** The first call after the tenth is let through, as one that came too early for the limiter's count. */
const admitsOneTooMany: Fault = (decision, call) =>
  call === 10 ? { ...decision, allowed: true, reason: "ok", retryAfterMs: 0 } : decision;

const deniesEverything: Fault = (decision) => ({
  ...decision,
  allowed: false,
  reason: "quota",
  retryAfterMs: 1000,
});

const reportsAWrongRemaining: Fault = (decision, call) =>
  call === 5 ? { ...decision, remaining: decision.remaining + 1 } : decision;

/** The log of a limiter with `fault`, called one time after another. */
async function logOf(policy: Policy, fault: Fault): Promise<string> {
  await races.forgetKeys();
  const store = new RedisStore({ client: redis });
  await using limiter = new RateLimiter({ policy, store, onStoreFailure: "throw", timeout: "30s" });
  const asked = { key: keyId("hot"), cost: 1 };
  let lines = headerLine([policy]);
  for (let call = 0; call < CALLS; call++) {
    lines += recordLine(asked, fault(await limiter.consume("hot"), call));
  }
  const log = races.newFile();
  await writeFile(log, lines);
  return log;
}

describe.each(slowPolicies)("on a %s, the audit", (kind, policy) => {
  test("passes the log of a limiter that is right", async () => {
    const report = await auditFiles([await logOf(policy, right)]);
    expect(report.passed).toBe(true);
    expect(report.tally).toMatchObject({ records: CALLS, allowed: 10 });
  });

  test("fails a limiter that admits one too many, and shows where", async () => {
    const report = await auditFiles([await logOf(policy, admitsOneTooMany)]);
    expect(report.passed).toBe(false);
    expect(report.tally.allowed).toBe(11);
    expect(report.keys[0]?.replay.matches).toBe(false);
    // Some may admit twice as much in an unlucky interval: there only the replay can tell.
    const isLoose = kind === "sliding window" || kind === "token bucket by intervals";
    expect(report.keys[0]?.bounds[0]?.holds).toBe(isLoose);
  });

  test("fails a limiter that denies everything, though that keeps any bound", async () => {
    const report = await auditFiles([await logOf(policy, deniesEverything)]);
    expect(report.passed).toBe(false);
    expect(report.tally.allowed).toBe(0);
    expect(report.keys[0]).toMatchObject({ bounds: [{ holds: true }], replay: { matches: false } });
  });

  test("fails a limiter that reports a wrong remaining, and shows where", async () => {
    const report = await auditFiles([await logOf(policy, reportsAWrongRemaining)]);
    expect(report.passed).toBe(false);
    expect(report.keys[0]).toMatchObject({ bounds: [{ holds: true }], replay: { matches: false } });
    expect(report.keys[0]?.replay).toMatchObject({ replayed: 5 });
  });
});

test("sluice audit tells people the interval and the decision that are wrong", async () => {
  const [, policy] = slowPolicies[0] as (typeof slowPolicies)[number];
  const sound = await runNode(races.cli, "audit", await logOf(policy, right));
  expect(sound.code).toBe(0);
  const log = await logOf(policy, admitsOneTooMany);
  const { code, stdout } = await runNode(races.cli, "audit", log);
  expect(code).toBe(1);
  expect(stdout).toMatch(/worst: .* → .* UTC/);
  expect(stdout).toMatch(new RegExp(`${log}:\\d+`));
});

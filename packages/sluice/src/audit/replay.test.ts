import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { record, START_US } from "../../test/support/records.js";
import { POLICIES, recordsOf, shuffled, TOGETHER, traces } from "../../test/audit/traces.js";
import { parsePolicy } from "../algorithms/registry.js";
import { runs } from "../../test/support/runs.js";
import type { LogRecord } from "./record.js";
import { replay } from "./replay.js";

const shuffles = fc.array(fc.nat(), { minLength: 60, maxLength: 60 });

describe("a log of the limiter's own replays", () => {
  for (const policies of [...POLICIES.map((policy) => [policy]), TOGETHER]) {
    const title = policies.length > 1 ? "several policies at once" : JSON.stringify(policies[0]);

    test(`in any order of its lines: ${title}`, async () => {
      await fc.assert(
        fc.asyncProperty(traces(false), shuffles, async (trace, order) => {
          const records = shuffled(await recordsOf(policies, trace), order);
          expect(replay(policies, records)).toMatchObject({
            matches: true,
            replayed: records.length,
            clockBackUs: 0,
          });
        }),
        { numRuns: runs(60) },
      );
    });
  }

  test("when the server's clock went back", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...POLICIES), traces(true), async (policy, trace) => {
        const alike = trace.map(({ stepUs }) => ({ stepUs, verb: "consume" as const, cost: 1 }));
        const records = await recordsOf([policy], alike);
        expect(replay([policy], records)).toMatchObject({
          matches: true,
          replayed: records.length,
        });
      }),
      { numRuns: runs(300) },
    );
  });
});

test("the report says how far the server's clock went back", () => {
  const policy = parsePolicy({ algorithm: "gcra", limit: 1, period: "1s" });
  const allowed = record({ atUs: START_US, resetAfterMs: 1000 });
  // 1.5 ms behind: both waits are longer by what the clock has to make up first.
  const refused = { allowed: false, granted: 0, reason: "quota", cost: 1 } as const;
  const denied = record({
    ...refused,
    atUs: START_US,
    retryAfterMs: 1002,
    resetAfterMs: 1002,
    line: 2,
  });
  const report = replay([policy], [allowed, denied]);
  expect(report).toMatchObject({ matches: true, clockBackUs: 1001 });
  expect(replay([policy], [allowed, { ...denied, resetAfterMs: 1000 }]).matches).toBe(false);
});

describe("a log that is wrong in one record fails", () => {
  const wrongs: Record<string, (record: LogRecord) => LogRecord> = {
    "one more remaining": (right) => ({ ...right, remaining: right.remaining + 1 }),
    "a longer wait": (right) => ({ ...right, retryAfterMs: right.retryAfterMs + 1 }),
    "a shorter reset": (right) => ({ ...right, resetAfterMs: Math.max(0, right.resetAfterMs - 1) }),
    "the other answer": (right) => ({ ...right, allowed: !right.allowed }),
    "another reason": (right) => ({ ...right, reason: "blocked" }),
  };
  for (const [title, spoil] of Object.entries(wrongs)) {
    test(`by ${title}, and the record is named`, async () => {
      const calls = fc.integer({ min: 1, max: 9000 });
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...POLICIES),
          fc.array(calls, { minLength: 1, maxLength: 40 }),
          fc.nat(),
          async (policy, steps, at) => {
            const trace = steps.map((stepUs) => ({ stepUs, verb: "consume" as const, cost: 1 }));
            const records = await recordsOf([policy], trace);
            const index = at % records.length;
            const spoilt = records.map((right, i) => (i === index ? spoil(right) : right));
            const report = replay([policy], spoilt);
            expect(report.matches).toBe(false);
            expect(report.replayed).toBe(index);
            expect(report.mismatch?.record).toBe(spoilt[index]);
            const { allowed, remaining, reason } = records[index] ?? record({ atUs: 0 });
            expect(report.mismatch?.kernel).toMatchObject({ allowed, remaining, reason });
          },
        ),
        { numRuns: runs(100) },
      );
    });
  }

  test("by a record that is missing", () => {
    const policy = parsePolicy({ algorithm: "fixed-window", limit: 3, window: "1h" });
    const [, ...rest] = [2, 1, 0].map((remaining, index) =>
      record({ atUs: START_US + index, remaining, resetAfterMs: 3_600_000, line: index + 2 }),
    );
    expect(replay([policy], rest).mismatch).toMatchObject({
      record: rest[0],
      kernel: { remaining: 2 },
    });
  });
});

describe("records of one microsecond", () => {
  const policy = parsePolicy({ algorithm: "fixed-window", limit: 10, window: "1h" });
  const hit = (cost: number, remaining: number, line: number): LogRecord =>
    record({ atUs: START_US, granted: cost, cost, remaining, resetAfterMs: 3_600_000, line });

  test("are explained by going back from a wrong choice", () => {
    // Both first records fit a fresh key, but only 0.5 before 0.25 leads to the third.
    const records = [hit(0.25, 9, 2), hit(0.5, 9, 3), hit(9, 0, 4), hit(0.25, 0, 5)];
    expect(replay([policy], records)).toMatchObject({ matches: true, replayed: 4 });
  });

  test("that no order explains name the first in the way", () => {
    const records = [hit(1, 9, 2), hit(1, 7, 3), hit(1, 7, 4)];
    const { mismatch, replayed } = replay([policy], records);
    expect(replayed).toBe(1);
    expect(mismatch).toMatchObject({
      record: { line: 3 },
      kernel: { remaining: 8 },
      tied: 3,
      exhaustive: true,
    });
  });

  test("are given up, and the report says so, where there are too many orders", () => {
    const costs = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128];
    const crowd = Array.from({ length: 80 }, (_, index) =>
      hit(costs[index % 8] ?? 0, 9, index + 2),
    );
    const { mismatch } = replay([policy], [...crowd, hit(1, 1, 99)]);
    expect(mismatch).toMatchObject({ tied: 81, exhaustive: false });
  });
});

test("answers that the store did not make are not replayed", () => {
  const policy = parsePolicy({ algorithm: "gcra", limit: 1, period: "1s" });
  const degraded = record({ atUs: START_US, source: "fail-open", reason: "store", remaining: 99 });
  expect(replay([policy], [degraded])).toMatchObject({ matches: true, replayed: 0 });
});

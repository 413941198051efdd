import { describe, expect, test } from "vitest";
import { record, START_US } from "../../test/support/records.js";
import { parsePolicy } from "../algorithms/registry.js";
import { audit } from "./audit.js";
import type { LogRecord } from "./record.js";
import { Records } from "./records.js";

const POLICY = parsePolicy({ algorithm: "fixed-window", limit: 2, window: "1h" });

function auditOf(records: readonly LogRecord[], failed = 0) {
  const read = new Records();
  for (const each of records) read.push(each);
  return audit({ files: ["a.jsonl"], policies: [POLICY], records: read, failedCalls: failed });
}

function hits(key: string, ...remaining: number[]): LogRecord[] {
  return remaining.map((left, index) =>
    record({
      atUs: START_US + index,
      key,
      remaining: left,
      resetAfterMs: 3_600_000,
      line: index + 2,
    }),
  );
}

describe("an audit", () => {
  test("passes when every key keeps its own bound and replays", () => {
    const report = auditOf([...hits("a", 1, 0), ...hits("b", 1)]);
    expect(report).toMatchObject({
      passed: true,
      tally: { records: 3, allowed: 3, denied: 0, granted: 3 },
      fromUs: START_US,
      toUs: START_US + 1,
    });
    expect(report.keys.map(({ key }) => key)).toEqual(["a", "b"]);
  });

  test("puts the refuted keys first", () => {
    const report = auditOf([...hits("a", 1, 0), ...hits("b", 0)]);
    expect(report.passed).toBe(false);
    expect(report.keys.map(({ key, passed }) => [key, passed])).toEqual([
      ["b", false],
      ["a", true],
    ]);
  });

  test("refutes the bound from the times alone, whatever the records claim", () => {
    const [key] = auditOf(hits("a", 1, 0, 0)).keys;
    expect(key?.bounds[0]).toMatchObject({ holds: false, worst: { slack: { numerator: -1n } } });
    expect(key?.replay.mismatch?.record.line).toBe(4);
  });

  test("counts, but does not judge, answers that the store did not make", () => {
    const open = record({ atUs: START_US, source: "fail-open", reason: "store", granted: 0.5 });
    const report = auditOf([open, open, ...hits("k", 1, 0)], 3);
    expect(report.passed).toBe(true);
    expect(report.failedCalls).toBe(3);
    expect(report.tally).toMatchObject({
      granted: 2,
      unaudited: { "fail-open": { records: 2, granted: 1 } },
    });
  });

  test("of nothing is refused, for it would prove nothing", () => {
    expect(() => auditOf([])).toThrow("a.jsonl: there is no decision to audit");
    expect(() => auditOf([], 2)).toThrow("all 2 calls failed");
  });
});

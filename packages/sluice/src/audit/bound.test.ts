import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { record, START_US } from "../../test/support/records.js";
import { parsePolicy, type Policy } from "../algorithms/registry.js";
import { runs } from "../../test/support/runs.js";
import { checkBound } from "./bound.js";
import { fraction, fractionToNumber } from "./fraction.js";
import type { LogRecord } from "./record.js";

interface Hit {
  readonly atUs: number;
  readonly granted: number;
}

function hits(...list: [ms: number, granted: number][]): LogRecord[] {
  return list.map(([ms, granted]) => record({ atUs: START_US + ms * 1000, granted }));
}

/** The least slack over all intervals, in exact thousandths times the period, from the definition itself. */
function leastSlack(
  policy: Policy,
  list: readonly Hit[],
): { numerator: bigint; denominator: bigint } {
  const milli = (units: number): bigint => BigInt(Math.round(units * 1000));
  const us = (ms: number): number => Math.round(ms * 1000);
  const sum = (fromUs: number, toUs: number): bigint =>
    list
      .filter(({ atUs }) => atUs >= fromUs && atUs <= toUs)
      .reduce((total, { granted }) => total + milli(granted), 0n);
  const slacks: { numerator: bigint; denominator: bigint }[] = [];
  const add = (bound: bigint, admitted: bigint, scale = 1n): void => {
    slacks.push(fraction(bound - admitted * scale, scale * 1000n));
  };
  for (const { atUs: from } of list) {
    for (const { atUs: to } of list) {
      if (to < from) continue;
      const admitted = sum(from, to);
      switch (policy.algorithm) {
        case "token-bucket":
        case "gcra":
        case "leaky-bucket": {
          const burst = milli(policy.algorithm === "leaky-bucket" ? policy.capacity : policy.burst);
          const limit = milli(policy.limit);
          const period = us(policy.period);
          if (policy.algorithm === "token-bucket" && policy.refill === "interval") {
            // The shortest half-open interval of whole microseconds that holds both.
            add(burst + limit * BigInt(Math.ceil((to - from + 1) / period)), admitted);
          } else {
            add(burst * BigInt(period) + limit * BigInt(to - from), admitted, BigInt(period));
          }
          break;
        }
        case "sliding-window":
        case "sliding-log": {
          const times = policy.algorithm === "sliding-window" ? 2n : 1n;
          if (to - from < us(policy.window)) add(times * milli(policy.limit), admitted);
          break;
        }
        case "unlimited":
          break;
        case "fixed-window":
          if (policy.align === "clock") {
            const window = us(policy.window);
            if (Math.floor(from / window) === Math.floor(to / window)) {
              add(milli(policy.limit), admitted);
            }
          }
          break;
        case "calendar-window":
          // Only months of UTC are tried: the year and month of a Date are the model.
          if (
            new Date(from / 1000).toISOString().slice(0, 7) ===
            new Date(to / 1000).toISOString().slice(0, 7)
          ) {
            add(milli(policy.limit), admitted);
          }
          break;
      }
    }
  }
  if (policy.algorithm === "fixed-window" && policy.align === "first") {
    let rest = [...list].sort((a, b) => a.atUs - b.atUs);
    while (rest[0] !== undefined) {
      const end = rest[0].atUs + us(policy.window);
      add(milli(policy.limit), sum(rest[0].atUs, end - 1));
      rest = rest.filter(({ atUs }) => atUs >= end);
    }
  }
  return slacks.reduce((least, slack) =>
    slack.numerator * least.denominator < least.numerator * slack.denominator ? slack : least,
  );
}

const units = fc.integer({ min: 1, max: 5000 }).map((milli) => milli / 1000);
const shortMs = fc.integer({ min: 1000, max: 9000 }).map((us) => us / 1000);

const plainPolicies: Record<string, Record<string, fc.Arbitrary<unknown>>> = {
  "token-bucket": { limit: units, period: shortMs, burst: units },
  "token-bucket, interval refill": {
    limit: units,
    period: shortMs,
    burst: units,
    refill: fc.constant("interval"),
  },
  gcra: { limit: units, period: shortMs, burst: units },
  "leaky-bucket": { limit: units, period: shortMs, capacity: units },
  "fixed-window, clock": { limit: units, window: shortMs },
  "fixed-window, first": { limit: units, window: shortMs, align: fc.constant("first") },
  "sliding-window": { limit: units, window: shortMs },
  "sliding-log": { limit: units, window: shortMs },
  "calendar-window": { limit: units, unit: fc.constant("month") },
};

describe("the bound checker finds what a search through every interval finds", () => {
  for (const [title, fields] of Object.entries(plainPolicies)) {
    test(`for ${title}`, () => {
      const algorithm = title.split(",")[0];
      // A calendar's months are days apart; all others are tried within a few short periods.
      const stepUs = algorithm === "calendar-window" ? 86_400e6 : 1;
      const offsets = fc.array(
        fc.tuple(fc.integer({ min: 0, max: stepUs === 1 ? 40_000 : 120 }), units),
        {
          minLength: 1,
          maxLength: 12,
        },
      );
      fc.assert(
        fc.property(fc.record(fields), offsets, (options, list) => {
          const policy = parsePolicy({ algorithm, ...options });
          const given = list.map(([offset, granted]) => ({
            atUs: START_US + offset * stepUs,
            granted,
          }));
          const report = checkBound(
            policy,
            given.map((hit) => record(hit)),
          );
          const expected = leastSlack(policy, given);
          expect(report.worst?.slack).toEqual(expected);
          const { fromUs, toUs, closed } = report.worst ?? { fromUs: 0, toUs: 0, closed: true };
          const inside = given.filter(
            ({ atUs }) => atUs >= fromUs && (closed ? atUs <= toUs : atUs < toUs),
          );
          const admitted = inside.reduce((sum, hit) => sum + Math.round(hit.granted * 1000), 0);
          expect(report.worst?.admitted).toEqual(fraction(BigInt(admitted), 1000n));
          const slack = expected.numerator;
          expect(report.holds).toBe(
            policy.algorithm === "sliding-window" ? slack > 0n : slack >= 0n,
          );
        }),
        { numRuns: runs(500) },
      );
    });
  }
});

describe("the worst interval", () => {
  const bucket = parsePolicy({ algorithm: "token-bucket", limit: 10, period: "1s", burst: 2 });

  test("is named when the bound holds too", () => {
    const report = checkBound(bucket, hits([0, 1], [50, 1], [100, 1], [900, 1]));
    expect(report.holds).toBe(true);
    expect(report.intervals).toBe(10);
    expect(report.worst).toEqual({
      fromUs: START_US,
      toUs: START_US + 100_000,
      closed: true,
      admitted: fraction(3n),
      bound: fraction(3n),
      slack: fraction(0n),
    });
  });

  test("shows by how much a bound is passed, down to a microsecond's worth", () => {
    const early = record({ atUs: START_US + 99_999 });
    const report = checkBound(bucket, [...hits([0, 1], [50, 1]), early]);
    expect(report.holds).toBe(false);
    expect(report.worst?.slack).toEqual(fraction(-1n, 100_000n));
  });

  test("is undefined where nothing was admitted", () => {
    const denied = record({ atUs: START_US, granted: 0, allowed: false });
    expect(checkBound(bucket, [denied])).toMatchObject({
      holds: true,
      intervals: 0,
      worst: undefined,
    });
  });

  test("of a sliding log ends where a hit leaves the window", () => {
    const log = parsePolicy({ algorithm: "sliding-log", limit: 2, window: "1s" });
    expect(checkBound(log, hits([0, 1], [999.999, 1], [1000, 1])).holds).toBe(true);
    const report = checkBound(log, hits([0, 1], [999.998, 1], [999.999, 1]));
    expect(report.holds).toBe(false);
    expect(report.worst).toMatchObject({
      fromUs: START_US,
      toUs: START_US + 1_000_000,
      closed: false,
    });
  });

  test("of a sliding window must stay below twice the limit", () => {
    const window = parsePolicy({ algorithm: "sliding-window", limit: 2, window: "1s" });
    expect(checkBound(window, hits([900, 2], [1500, 1], [1899, 0.999])).holds).toBe(true);
    expect(checkBound(window, hits([900, 2], [1500, 1], [1899, 1])).holds).toBe(false);
  });

  test("of a calendar follows the zone, not UTC", () => {
    const day = { algorithm: "calendar-window", limit: 1, unit: "day" };
    // 23:30 and 00:30 in Paris, of one UTC day.
    const both = hits([-90 * 60_000, 1], [-30 * 60_000, 1]);
    expect(checkBound(parsePolicy({ ...day, timeZone: "Europe/Paris" }), both).holds).toBe(true);
    expect(checkBound(parsePolicy(day), both).holds).toBe(false);
  });
});

describe("what counts as admitted", () => {
  const strict = parsePolicy({ algorithm: "gcra", limit: 1, period: "1s" });

  test("a reservation counts when it is ready", () => {
    const first = hits([0, 1]);
    const booked = { atUs: START_US + 10_000 };
    const reserved = record({ ...booked, readyAtUs: START_US + 1_000_000 });
    expect(checkBound(strict, [...first, record(booked)]).holds).toBe(false);
    expect(checkBound(strict, [...first, reserved]).holds).toBe(true);
  });

  test("answers that the store did not make are left out", () => {
    const open = hits([10, 1]).map((hit) => ({ ...hit, source: "fail-open" as const }));
    expect(checkBound(strict, [...hits([0, 1]), ...open]).holds).toBe(true);
  });

  test("a partial grant counts for what was granted", () => {
    const partial = record({ atUs: START_US, granted: 1, cost: 5 });
    expect(fractionToNumber(checkBound(strict, [partial]).worst?.admitted ?? fraction(0n))).toBe(1);
  });
});

import type { MinuteReport, MinuteSums, Reports } from "sluice/report";
import { expect, test } from "vitest";
import { deltasOfMinute, LastMinute, MinuteDifferences, sumOf } from "./count-sums.js";

const sums = (policy: string, asked: number, denied = 0, shadowDenied = 0): MinuteSums => ({
  limiter: "edge",
  policy,
  asked,
  allowed: asked - denied,
  denied,
  nearLimit: 0,
  withoutStore: 0,
  shadowDenied,
});

const reports = (...minutes: readonly Partial<MinuteReport>[]): Reports =>
  ({
    minutes: minutes.map((each, i) => ({ fromMs: i * 60_000, policies: [], shadows: [], ...each })),
  }) as unknown as Reports;

test("what was there at the first look is nobody's; then each count comes once", () => {
  const differences = new MinuteDifferences();
  expect(differences.add(reports({ policies: [sums("api", 10, 2)] })).size).toBe(0);
  const grown = differences.add(
    reports({ policies: [sums("api", 13, 4)] }, { policies: [sums("api", 5)] }),
  );
  expect(grown.get("edge api")).toMatchObject({ asked: 8, allowed: 6, denied: 2 });
  expect(
    differences.add(reports({ policies: [sums("api", 13, 4)] }, { policies: [sums("api", 5)] }))
      .size,
  ).toBe(0);
});

test("a minute that the server lost, and counts anew, takes nothing away", () => {
  const differences = new MinuteDifferences();
  differences.add(reports({ policies: [sums("api", 10, 2)] }));
  const grown = differences.add(reports({ policies: [sums("api", 3, 1)] }));
  expect(sumOf(grown)).toMatchObject({ asked: 3, allowed: 2, denied: 1 });
});

test("a candidate's denials are its rule's, and are not asked twice", () => {
  const differences = new MinuteDifferences();
  differences.add(reports({ policies: [sums("api", 1)] }));
  const grown = differences.add(
    reports({
      policies: [sums("api", 11)],
      shadows: [sums("api.candidate", 10, 0, 4), sums("login", 6, 0, 2)],
    }),
  );
  expect(grown.get("edge api")).toMatchObject({ asked: 10, shadowDenied: 4, candidateDenied: 4 });
  expect(grown.get("edge login")).toMatchObject({ asked: 6, shadowDenied: 2, candidateDenied: 0 });
});

test("rates are of the last minute, a second", () => {
  const last = new LastMinute();
  const looked = (asked: number) => {
    const differences = new MinuteDifferences();
    differences.add(reports({ policies: [sums("api", 1)] }));
    return differences.add(reports({ policies: [sums("api", 1 + asked)] }));
  };
  last.add(1000, looked(50));
  expect(last.rates().get("edge api")?.asked).toBe(50);
  for (let i = 0; i < 59; i++) last.add(1000, looked(10));
  expect(last.rates().get("edge api")?.asked).toBeCloseTo((50 + 590) / 60);
  last.add(1000, looked(10));
  expect(last.rates().get("edge api")?.asked).toBe(10);
});

test("beyond 2,000 rules all count as one, and none is lost, in a minute and over the last", () => {
  const names = Array.from({ length: 2010 }, (_, i) => `rule-${i}`);
  const policies = names.map((name) => sums(name, 2, 1));
  const deltas = deltasOfMinute({ policies, shadows: [] });
  expect(deltas.size).toBe(2001);
  expect(deltas.get("other other")).toMatchObject({ asked: 20, denied: 10 });
  expect(sumOf(deltas)).toMatchObject({ asked: 4020, denied: 2010 });
  const minute = new LastMinute();
  minute.add(1000, deltas);
  // A rule that has its place keeps it, and those that come later are others.
  minute.add(1000, deltasOfMinute({ policies: [sums("rule-0", 4), sums("new", 6)], shadows: [] }));
  const rates = minute.rates();
  expect(rates.get("edge rule-0")?.asked).toBe(3);
  expect(rates.get("edge new")).toBeUndefined();
  expect(rates.get("other other")?.asked).toBe(13);
});

/** Whatever becomes of writes and answers, and whenever minutes begin: a report counts everything once, or says what is lost. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { fixedWindow, MemoryStore, RateLimiter } from "../../src/index.js";
import { readReports, report, type Reports } from "../../src/report/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { FlakyReports, type ReportFault } from "../support/flaky-reports.js";
import { runs } from "../support/runs.js";

type Step =
  | { readonly consume: number; readonly key: number }
  | { readonly passMs: number }
  | { readonly fault: ReportFault }
  | { readonly deliver: boolean }
  | { readonly flush: number };

const usual: fc.Arbitrary<Step>[] = [
  fc.record({ consume: fc.integer({ min: 1, max: 9 }), key: fc.integer({ min: 0, max: 5 }) }),
  fc.record({ passMs: fc.constantFrom(10, 1000, 20_000, 59_000, 180_000) }),
  fc.record({ fault: fc.constantFrom<ReportFault>("none", "none", "fails", "loses", "delays") }),
  fc.record({ deliver: fc.boolean() }),
  fc.record({ flush: fc.integer({ min: 0, max: 1 }) }),
];
const steps = (extra: readonly fc.Arbitrary<Step | "forget">[] = []) =>
  fc.array(fc.oneof(...usual, ...extra), { maxLength: 40 });

const START_MS = 1_790_000_000_000;

interface Played {
  readonly reports: Reports;
  readonly limiters: readonly RateLimiter[];
}

/** Two processes, which at the end write what is left. */
async function play(all: readonly (Step | "forget")[]): Promise<Played> {
  const clock = new ManualClock(START_MS);
  const far = new FlakyReports(clock);
  const store = Object.assign(new MemoryStore({ clock }), { reports: far });
  const policy = fixedWindow({ limit: 1, window: "1m" });
  const limiters = ["a", "b"].map((namespace) => new RateLimiter({ policy, namespace, store }));
  // Ticks of their own change nothing but when things are written.
  const reporters = limiters.map((limiter) => report({ store, limiters: [limiter], every: "1m" }));
  let passedMs = 0;
  for (const step of all) {
    if (step === "forget") far.forget();
    else if ("consume" in step) {
      const limiter = limiters[step.key % 2];
      for (let i = 0; i < step.consume; i++) limiter?.consumeSync(`k${step.key}`, { cost: 0.7 });
    } else if ("passMs" in step) {
      // All of it stays within the hour.
      if (passedMs + step.passMs < 3_000_000) {
        clock.advance(step.passMs);
        passedMs += step.passMs;
      }
    } else if ("fault" in step) far.fault = step.fault;
    else if ("deliver" in step) far.deliver(step.deliver);
    else await reporters[step.flush]?.flush();
  }
  far.fault = "none";
  for (const reporter of reporters) await reporter.end();
  far.deliver(true);
  return { reports: await readReports({ store, minutes: 60 }), limiters };
}

test("each count is in the report once, through lost and late answers, outages and minutes", async () => {
  const property = fc.asyncProperty(steps(), async (all) => {
    const { reports, limiters } = await play(all);
    expect(reports.processes.map(({ state }) => state)).toEqual(["ended", "ended"]);
    expect(reports.gaps.filter(({ kind }) => kind === "lost")).toEqual([]);
    for (const limiter of limiters) {
      const stats = limiter.stats();
      const reported = reports.limiters.find((each) => each.limiter === stats.limiter);
      const { allowed = 0, denied = 0, nearLimit = 0, policies = [] } = reported ?? {};
      expect({ allowed, denied, nearLimit }).toEqual({
        allowed: stats.allowed,
        denied: stats.denied,
        nearLimit: stats.nearLimit,
      });
      const exact = (units: number): number => Math.round(units * 1000);
      expect(exact(policies[0]?.units.denied ?? 0)).toBe(exact(stats.units.denied));
      const decisions = policies[0]?.decisions ?? [];
      for (const { reason, source, count } of decisions) {
        const own = stats.decisions.find(
          (each) => each.reason === reason && each.source === source,
        );
        expect(own?.count).toBe(count);
      }
      const ids = policies[0]?.topDenied ?? [];
      expect(ids.reduce((sum, { atLeast }) => sum + atLeast, 0)).toBe(stats.denied);
    }
  });
  await fc.assert(property, { numRuns: runs(300) });
});

test("what a server forgot is made good, or named with its number", async () => {
  const property = fc.asyncProperty(steps([fc.constant("forget" as const)]), async (all) => {
    const { reports, limiters } = await play(all);
    const lost = reports.gaps.map(({ kind, decisions }) => (kind === "lost" ? decisions : 0));
    const named = lost.reduce<number>((sum, decisions) => sum + (decisions ?? Number.NaN), 0);
    const reported = reports.limiters.reduce((sum, { asked }) => sum + asked, 0);
    const truth = limiters.reduce((sum, limiter) => {
      const { allowed, denied } = limiter.stats();
      return sum + allowed + denied;
    }, 0);
    expect(reported + named).toBe(truth);
  });
  await fc.assert(property, { numRuns: runs(300) });
});

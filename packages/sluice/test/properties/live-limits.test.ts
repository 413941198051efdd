/**
 * Whatever changes of policy are made, in whatever order, by `setPolicy` or by overrides of the key, what is admitted stays
 * within the bound of their union, in exact arithmetic.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  fixedWindow,
  MemoryStore,
  type Policy,
  RateLimiter,
  tokenBucket,
} from "../../src/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { runs } from "../support/runs.js";

const bucketOptions = fc.record({
  limit: fc.integer({ min: 1, max: 30 }),
  period: fc.integer({ min: 100, max: 5000 }),
  burst: fc.integer({ min: 1, max: 40 }),
});
const windowLimits = fc.integer({ min: 0, max: 20 });
const WINDOW_MS = 2000;

type BucketOptions = typeof bucketOptions extends fc.Arbitrary<infer T> ? T : never;

/** What is done at each step: some time passes, then a change or a call. */
const steps = fc.array(
  fc.record({
    waitMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3000 })),
    change: fc.constantFrom("none", "none", "setPolicy", "override", "remove", "deny"),
    which: fc.nat(3),
    cost: fc.integer({ min: 1, max: 12 }),
  }),
  { minLength: 1, maxLength: 60 },
);
type Steps = typeof steps extends fc.Arbitrary<infer T> ? T : never;

interface Admission {
  readonly atUs: number;
  readonly units: number;
  readonly policy: string;
}

async function play(policies: readonly Policy[], trace: Steps): Promise<readonly Admission[]> {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  await using limiter = new RateLimiter({ policy: policies[0], store });
  const admissions: Admission[] = [];
  for (const { waitMs, change, which, cost } of trace) {
    clock.advance(waitMs);
    const policy = policies[which % policies.length] as Policy;
    if (change === "setPolicy") limiter.setPolicy(policy);
    if (change === "override") await limiter.override("k", policy);
    if (change === "remove") await limiter.override("k", undefined);
    const until = clock.nowUs() / 1e3 + 500;
    if (change === "deny") await limiter.override("k", "deny", { until });
    const decision = await limiter.consume("k", { cost });
    if (!decision.allowed) continue;
    admissions.push({ atUs: decision.decidedAtUs, units: cost, policy: decision.policy });
  }
  return admissions;
}

/** Whether any interval saw more than the largest capacity and the largest rate. */
function exceedsBuckets(all: readonly BucketOptions[], admissions: readonly Admission[]): boolean {
  const capacity = BigInt(Math.max(...all.map(({ burst }) => burst)));
  const fastest = all.reduce((a, b) => (a.limit * b.period >= b.limit * a.period ? a : b));
  const spanUs = BigInt(fastest.period * 1000);
  return admissions.some(({ atUs: from }, i) => {
    let units = 0n;
    return admissions.slice(i).some(({ atUs, units: more }) => {
      units += BigInt(more);
      return units * spanUs > capacity * spanUs + BigInt(fastest.limit) * BigInt(atUs - from);
    });
  });
}

function exceedsWindows(limits: readonly number[], admissions: readonly Admission[]): boolean {
  const most = Math.max(...limits);
  const used = new Map<number, number>();
  for (const { atUs, units } of admissions) {
    const window = Math.floor(atUs / (WINDOW_MS * 1e3));
    used.set(window, (used.get(window) ?? 0) + units);
  }
  return [...used.values()].some((units) => units > most);
}

const windowOf = (limit: number, name: string): Policy =>
  fixedWindow({ name, limit, window: WINDOW_MS });

test("buckets that follow each other admit by the larger capacity and the larger rate", async () => {
  const several = fc.array(bucketOptions, { minLength: 2, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(several, steps, async (all, trace) => {
      const policies = all.map((options) => tokenBucket({ name: "p", ...options }));
      expect(exceedsBuckets(all, await play(policies, trace))).toBe(false);
    }),
    { numRuns: runs(600) },
  );
});

test("windows of one length that follow each other admit by the larger limit", async () => {
  const several = fc.array(windowLimits, { minLength: 2, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(several, steps, async (limits, trace) => {
      const policies = limits.map((limit) => windowOf(limit, "p"));
      expect(exceedsWindows(limits, await play(policies, trace))).toBe(false);
    }),
    { numRuns: runs(600) },
  );
});

test("another algorithm, or another name, is another key: each keeps its own bound", async () => {
  await fc.assert(
    fc.asyncProperty(bucketOptions, windowLimits, steps, async (options, limit, trace) => {
      const policies = [tokenBucket({ name: "b", ...options }), windowOf(limit, "w")];
      // An override of the only policy goes by that one's name.
      const changes = trace.filter(({ change }) => change !== "override");
      const admissions = await play(policies, changes);
      const of = (name: string): Admission[] => admissions.filter(({ policy }) => policy === name);
      expect(exceedsBuckets([options], of("b"))).toBe(false);
      expect(exceedsWindows([limit], of("w"))).toBe(false);
    }),
    { numRuns: runs(600) },
  );
});

test("the judges see one unit too many", () => {
  const one = { limit: 1, period: 1000, burst: 2 };
  const two = { limit: 2, period: 1000, burst: 1 };
  const at = (atUs: number, units: number): Admission => ({ atUs, units, policy: "p" });
  expect(exceedsBuckets([one, two], [at(0, 2), at(500_000, 1)])).toBe(false);
  expect(exceedsBuckets([one, two], [at(0, 2), at(499_999, 1)])).toBe(true);
  expect(exceedsWindows([1, 3], [at(0, 2), at(1_999_999, 1), at(2_000_000, 3)])).toBe(false);
  expect(exceedsWindows([1, 3], [at(0, 2), at(1_999_999, 2)])).toBe(true);
});

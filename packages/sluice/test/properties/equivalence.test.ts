/** Each kernel against a plain model of its algorithm, and the three names of the bucket against each other. */
import { Temporal } from "@js-temporal/polyfill";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { gcra, leakyBucket, type TokenBucketPolicy } from "../../src/index.js";
import { runs } from "../support/runs.js";
import {
  capacityOf,
  costOf,
  type Kind,
  type LimitedPolicy,
  moveUs,
  policies,
  spanUs,
  starts,
  steps,
} from "./arbitraries.js";
import {
  HitList,
  IntervalBucket,
  Model,
  OneCounter,
  RationalBucket,
  type Usage,
  WeightedCounters,
} from "./models.js";
import { Play } from "./play.js";

const VERBS = [
  "consume",
  "consume",
  "consume",
  "consumeUpTo",
  "peek",
  "penalize",
  "refund",
  "reset",
] as const;

const thousandths = (units: number): bigint => BigInt(Math.round(units * 1000));

async function expectAsModelled(
  policy: LimitedPolicy,
  fresh: () => Usage,
  start: number,
  trace: Parameters<typeof costOf>[0][],
): Promise<void> {
  const play = new Play(policy, start);
  const model = new Model(fresh);
  for (const step of trace) {
    play.move(moveUs(step, policy));
    const cost = costOf(step, policy);
    const verb = step.verb as (typeof VERBS)[number];
    const expected = model.ask(verb, thousandths(cost), play.clock.nowUs());
    const actual = await play.ask(verb, cost);
    if (verb !== "reset") expect(actual).toMatchObject(expected);
  }
}

function usageOf(policy: LimitedPolicy): () => Usage {
  const limit = thousandths(policy.limit);
  const span = BigInt(spanUs(policy));
  const capacity = thousandths(capacityOf(policy));
  switch (policy.algorithm) {
    case "token-bucket":
      if (policy.refill === "interval") return () => new IntervalBucket(limit, span, capacity);
      return () => new RationalBucket(limit, span, capacity);
    case "gcra":
    case "leaky-bucket":
      return () => new RationalBucket(limit, span, capacity);
    case "fixed-window":
      return policy.align === "first"
        ? () => new OneCounter(capacity, (at) => at + span)
        : () => new OneCounter(capacity, (at) => (at / span + 1n) * span);
    case "calendar-window":
      return () => new OneCounter(capacity, (at) => endOfUnit(policy, at));
    case "sliding-window":
      return () => new WeightedCounters(span, capacity);
    case "sliding-log":
      return () => new HitList(span, capacity);
  }
}

/** By another library's calendar. Zones here are off UTC by whole hours or quarters, and change on whole hours. */
function endOfUnit(
  { unit, timeZone, weekStartsOn }: Extract<LimitedPolicy, { algorithm: "calendar-window" }>,
  at: bigint,
): bigint {
  const instant = Temporal.Instant.fromEpochMilliseconds(Number(at / 1000n));
  const local = instant.toZonedDateTimeISO(timeZone);
  const date = local.toPlainDate();
  const sinceWeekStart = weekStartsOn === "monday" ? date.dayOfWeek - 1 : date.dayOfWeek % 7;
  const nextDate = {
    day: () => date.add({ days: 1 }),
    week: () => date.subtract({ days: sinceWeekStart }).add({ weeks: 1 }),
    month: () => date.with({ day: 1 }).add({ months: 1 }),
    year: () => date.with({ day: 1, month: 1 }).add({ years: 1 }),
  };
  if (unit !== "minute" && unit !== "hour") {
    return BigInt(nextDate[unit]().toZonedDateTime(timeZone).epochMilliseconds) * 1000n;
  }
  const offset = BigInt(local.offsetNanoseconds) / 1000n;
  const length = unit === "minute" ? 60_000_000n : 3_600_000_000n;
  const whole = ((at + offset) / length + 1n) * length - offset;
  const transition = local.getTimeZoneTransition("next");
  const change = transition === null ? whole : BigInt(transition.epochMilliseconds) * 1000n;
  return change < whole ? change : whole;
}

describe("answers as a plain model in exact fractions does", () => {
  const counts: Readonly<Record<Kind, number>> = {
    tokenBucket: 300,
    "tokenBucket by interval": 300,
    gcra: 150,
    leakyBucket: 150,
    "fixedWindow of the clock": 200,
    "fixedWindow of the first hit": 200,
    calendarWindow: 100,
    slidingWindow: 300,
    slidingLog: 300,
  };

  test.for(Object.entries(counts) as [Kind, number][])("%s", async ([kind, count]) => {
    await fc.assert(
      fc.asyncProperty(policies[kind]("p"), starts, steps(VERBS, 40), (policy, start, trace) =>
        expectAsModelled(policy, usageOf(policy), start, trace),
      ),
      { numRuns: runs(count) },
    );
  });
});

test("token bucket, GCRA and leaky bucket are the same thing", async () => {
  const verbs = [...VERBS, "block", "unblock"] as const;
  const traces = steps(verbs, 40);
  await fc.assert(
    fc.asyncProperty(policies.tokenBucket("p"), starts, traces, async (bucket, start, trace) => {
      const { limit, period, burst } = bucket as TokenBucketPolicy;
      const plays = [
        bucket,
        gcra({ name: "p", limit, period, burst }),
        leakyBucket({ name: "p", limit, period, capacity: burst }),
      ].map((policy) => new Play(policy, start));
      for (const step of trace) {
        const answers: unknown[] = [];
        for (const play of plays) {
          play.move(moveUs(step, bucket));
          answers.push(await play.ask(step.verb, costOf(step, bucket)));
        }
        expect(answers[1]).toEqual(answers[0]);
        expect(answers[2]).toEqual(answers[0]);
      }
    }),
    { numRuns: runs(300) },
  );
});

/**
 * Promise 1: over every half-open interval [t, t + D) the admitted cost is at most the policy's bound, in
 * exact arithmetic. Two judges that share no code: one here, pair by pair from the definition, and the audit's.
 */
import { Temporal } from "@js-temporal/polyfill";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkBound } from "../../src/audit/bound.js";
import {
  calendarWindow,
  fixedWindow,
  gcra,
  leakyBucket,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../src/index.js";
import { record } from "../support/records.js";
import { runs } from "../support/runs.js";
import {
  capacityOf,
  costOf,
  kinds,
  type LimitedPolicy,
  moveUs,
  policies,
  spanUs,
  starts,
  steps,
} from "./arbitraries.js";
import { Play } from "./play.js";

interface Admission {
  readonly atUs: number;
  /** Thousandths of a unit. */
  readonly amount: bigint;
}

const thousandths = (units: number): bigint => BigInt(Math.round(units * 1000));

/** Admitted and allowed, both times the same factor. */
type Excess = readonly [admitted: bigint, bound: bigint];

/** The first interval that sees more than it may, in words; undefined if there is none. */
function violation(policy: LimitedPolicy, admissions: readonly Admission[]): string | undefined {
  const limit = thousandths(policy.limit);
  const span = BigInt(spanUs(policy));
  const size = thousandths(capacityOf(policy));
  for (const [i, { atUs: from }] of admissions.entries()) {
    let sum = 0n;
    for (const { atUs: to, amount } of admissions.slice(i)) {
      sum += amount;
      const [admitted, bound] = excess(policy, limit, span, size, from, to, sum);
      const strict = policy.algorithm === "sliding-window";
      if (strict ? admitted >= bound : admitted > bound) {
        return `${admitted} of ${bound} in [${from}, ${to}] under ${JSON.stringify(policy)}`;
      }
    }
  }
  return undefined;
}

/** What was admitted from `from` to `to`, both included, against the bound of what just holds both. */
function excess(
  policy: LimitedPolicy,
  limit: bigint,
  span: bigint,
  size: bigint,
  from: number,
  to: number,
  sum: bigint,
): Excess {
  const distance = BigInt(to - from);
  const outside: Excess = [0n, 1n];
  switch (policy.algorithm) {
    case "token-bucket":
    case "gcra":
    case "leaky-bucket":
      // ⌈D/period⌉ of the least D above the distance; the continuous bound has its limit there.
      return policy.algorithm === "token-bucket" && policy.refill === "interval"
        ? [sum, size + limit * (distance / span + 1n)]
        : [sum * span, size * span + limit * distance];
    case "sliding-window":
      return distance < span ? [sum, 2n * limit] : outside;
    case "sliding-log":
      return distance < span ? [sum, limit] : outside;
    case "fixed-window": {
      const same = Math.floor(from / Number(span)) === Math.floor(to / Number(span));
      return policy.align === "clock" && same ? [sum, limit] : outside;
    }
    case "calendar-window":
      return windowName(policy, from) === windowName(policy, to) ? [sum, limit] : outside;
  }
}

const windowNames = new Map<string, string>();

/** What the calendar calls the window that a time is in. */
function windowName(
  { unit, timeZone, weekStartsOn }: Extract<LimitedPolicy, { algorithm: "calendar-window" }>,
  atUs: number,
): string {
  const key = `${unit} ${timeZone} ${weekStartsOn} ${atUs}`;
  let name = windowNames.get(key);
  if (name === undefined) {
    const local = Temporal.Instant.fromEpochMilliseconds(Math.floor(atUs / 1e3)).toZonedDateTimeISO(
      timeZone,
    );
    const sinceWeekStart = weekStartsOn === "monday" ? local.dayOfWeek - 1 : local.dayOfWeek % 7;
    name = {
      minute: () => `${local.toPlainDateTime().toString().slice(0, 16)}${local.offset}`,
      hour: () => `${local.toPlainDateTime().toString().slice(0, 13)}${local.offset}`,
      day: () => local.toPlainDate().toString(),
      week: () => local.toPlainDate().subtract({ days: sinceWeekStart }).toString(),
      month: () => local.toPlainDate().toString().slice(0, 7),
      year: () => String(local.year),
    }[unit]();
    windowNames.set(key, name);
  }
  return name;
}

/** Windows that the first admission opens: each holds what comes within its length, and at most the limit. */
function firstHitViolation(
  policy: LimitedPolicy,
  admissions: readonly Admission[],
): string | undefined {
  let endUs = 0;
  let sum = 0n;
  for (const { atUs, amount } of admissions) {
    if (atUs >= endUs) {
      endUs = atUs + spanUs(policy);
      sum = 0n;
    }
    sum += amount;
    if (sum > thousandths(policy.limit)) return `${sum} in the window that ends at ${endUs}`;
  }
  return undefined;
}

const isOfFirstHit = (policy: LimitedPolicy): boolean =>
  policy.algorithm === "fixed-window" && policy.align === "first";

function judge(policy: LimitedPolicy, admissions: readonly Admission[]): string | undefined {
  return isOfFirstHit(policy)
    ? firstHitViolation(policy, admissions)
    : violation(policy, admissions);
}

describe("no interval sees more than its policy's bound", () => {
  test.for(kinds)("%s", async (kind) => {
    // A penalty opens a window that is waiting for its first hit: admissions alone would not tell when.
    const other = kind === "fixedWindow of the first hit" ? "peek" : "penalize";
    const verbs = ["consume", "consume", "consume", "consumeUpTo", "peek", "block", other] as const;
    const traces = steps(verbs, 60);
    await fc.assert(
      fc.asyncProperty(policies[kind]("p"), starts, traces, async (policy, start, trace) => {
        const play = new Play(policy, start);
        const admissions: Admission[] = [];
        for (const step of trace) {
          play.move(moveUs(step, policy));
          // A debt of many years would only end the trace.
          const debt = step.verb === "penalize" && step.price !== "thousandth";
          const cost = debt ? Math.min(1, capacityOf(policy)) : costOf(step, policy);
          const answer = await play.ask(step.verb, cost);
          const granted =
            step.verb === "consume" && answer.allowed === true ? cost : answer.granted;
          if (granted === undefined || granted === 0) continue;
          admissions.push({ atUs: answer.decidedAtUs as number, amount: thousandths(granted) });
        }
        expect(judge(policy, admissions)).toBeUndefined();
        const records = admissions.map(({ atUs, amount }) =>
          record({ atUs, granted: Number(amount) / 1000 }),
        );
        expect(checkBound(policy, records)).toMatchObject({ holds: true });
      }),
      { numRuns: runs(300) },
    );
  });
});

describe("both judges see a thousandth too many", () => {
  const second = 1_893_456_000_000_000;
  const cases: readonly (readonly [LimitedPolicy, readonly (readonly [number, number])[]])[] = [
    [
      tokenBucket({ limit: 3, period: "1s" }),
      [
        [0, 3],
        [333_333, 1],
      ],
    ],
    [
      tokenBucket({ limit: 3, period: "1s", refill: "interval" }),
      [
        [0, 3],
        [999_999, 3.001],
      ],
    ],
    [
      gcra({ limit: 7, period: "1m" }),
      [
        [0, 1],
        [8_571_428, 1],
      ],
    ],
    [
      leakyBucket({ limit: 1, period: "31d", capacity: 2 }),
      [
        [0, 2],
        [2_678_399_999, 0.001],
      ],
    ],
    [
      fixedWindow({ limit: 3, window: "1s" }),
      [
        [0, 3],
        [999_999, 0.001],
      ],
    ],
    [
      fixedWindow({ limit: 3, window: "1s", align: "first" }),
      [
        [500_000, 3],
        [1_499_999, 0.001],
      ],
    ],
    [
      calendarWindow({ limit: 3, unit: "day", timeZone: "Europe/Berlin" }),
      [
        [0, 3],
        [82_799e6, 0.001],
      ],
    ],
    [
      slidingWindow({ limit: 3, window: "1s" }),
      [
        [1, 3],
        [1_000_000, 3],
      ],
    ],
    [
      slidingLog({ limit: 3, window: "1s" }),
      [
        [0, 3],
        [999_999, 0.001],
      ],
    ],
  ];

  test.for(cases)("%o", ([policy, hits]) => {
    const admissions = hits.map(([us, units]) => ({
      atUs: second + us,
      amount: thousandths(units),
    }));
    expect(judge(policy, admissions)).toBeDefined();
    const records = hits.map(([us, granted]) => record({ atUs: second + us, granted }));
    expect(checkBound(policy, records)).toMatchObject({ holds: false });
  });
});

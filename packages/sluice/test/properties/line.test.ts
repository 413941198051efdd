/**
 * Waiting in line: the kernel against an exact model, and promise 1 on the times at which work may start,
 * whatever is reserved, cancelled, consumed, given back and taken meanwhile.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Verb, VERBS } from "../../src/algorithms/decide.js";
import type { ReservationReceipt } from "../../src/algorithms/kernel.js";
import { type Rule, ruleOf } from "../../src/algorithms/rule.js";
import { type States, step } from "../../src/algorithms/step.js";
import { CENTURY_US } from "../../src/core/duration.js";
import { checkBound } from "../../src/audit/bound.js";
import {
  gcra,
  leakyBucket,
  MemoryStore,
  type Policy,
  RateLimiter,
  type Reservation,
  tokenBucket,
} from "../../src/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { record } from "../support/records.js";
import { runs } from "../support/runs.js";
import {
  type BucketModel,
  IntervalModel,
  LineModel,
  type ModelBooking,
  ScheduleModel,
  type SetBooking,
  SetModel,
} from "./line-model.js";

type Granted = Extract<Reservation, { allowed: true }>;

const START_US = 1_893_456_000_000_001;
const UNIT_US = 1000;

interface Rate {
  readonly limit: number;
  readonly period: number;
  readonly size: number;
}

/** Rates that divide their period and rates that do not, down to several units a µs. */
const rates: fc.Arbitrary<Rate> = fc.constantFrom(
  { limit: 10, period: 1000, size: 2 },
  { limit: 10, period: 1000, size: 4 },
  { limit: 3, period: 1000, size: 1 },
  { limit: 3, period: 1000, size: 3 },
  { limit: 7, period: 60_000, size: 2.5 },
  { limit: 1, period: 1000, size: 10 },
  { limit: 2.345, period: 777.777, size: 2.345 },
  { limit: 13, period: 1234.567, size: 5 },
  { limit: 3e6, period: 1000, size: 1 },
  { limit: 3e6, period: 1000, size: 4 },
  { limit: 0.001, period: 10_000, size: 0.003 },
);

/** Where refills by interval come in large steps, or the bucket holds less than one brings. */
const stepRates: fc.Arbitrary<Rate> = fc.constantFrom(
  { limit: 10, period: 10_000, size: 10 },
  { limit: 10, period: 10_000, size: 1 },
  { limit: 5, period: 5000, size: 12.5 },
  { limit: 2, period: 1000, size: 3 },
);

const VERBS_IN_USE = ["reserve", "cancel", "consume", "penalize", "refund", "reset"] as const;
type UsedVerb = (typeof VERBS_IN_USE)[number];

/**
 * At most one unit a µs. Of several starts in one µs the state does not tell who waits behind whom; there it
 * is held to the other model, and to the bound.
 */
const slowRates = rates.filter((rate) => unitUs(rate) >= 1);

/** In terms that fit any rate, so that traces shrink well. */
interface TraceStep {
  readonly verb: UsedVerb;
  /** Units of time (that of one unit of quota), times a thousand. */
  readonly moves: number;
  /** In thousandths of the capacity. */
  readonly part: number;
  /** Which receipt to cancel: so many before the newest. */
  readonly back: number;
  /** The longest wait in units of time; 0 = any. */
  readonly patience: number;
}

function traces(verbs: readonly UsedVerb[], maxLength = 40): fc.Arbitrary<TraceStep[]> {
  return fc.array(
    fc.record({
      verb: fc.constantFrom(...verbs),
      moves: fc.oneof(fc.constant(0), fc.constantFrom(1, 500, 1000, 999, 2000), fc.nat(4000)),
      part: fc.oneof(fc.constantFrom(1000, 500, 250, 1), fc.integer({ min: 0, max: 1000 })),
      back: fc.oneof(fc.constant(0), fc.nat(5)),
      patience: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(6)),
    }),
    { minLength: 1, maxLength, size: "max" },
  );
}

const amountOf = ({ part }: TraceStep, size: number): number =>
  Math.floor((Math.round(size * 1000) * part) / 1000);

const unitUs = ({ limit, period }: Rate): number => (period * 1e3) / limit;

function moveUs({ moves }: TraceStep, rate: Rate): number {
  return moves === 0 ? 0 : Math.max(1, Math.round((unitUs(rate) * moves) / UNIT_US));
}

const patienceUs = ({ patience }: TraceStep, rate: Rate): number =>
  patience === 0 ? CENTURY_US : Math.round(unitUs(rate) * patience);

/** One key under the kernels, with what it got. */
class Subject {
  readonly rules: readonly Rule[];
  states: States;
  nowUs = START_US;

  constructor(policies: readonly Policy[]) {
    this.rules = policies.map((policy) => ruleOf(policy));
    this.states = this.rules.map(() => undefined);
  }

  ask(
    verb: Verb,
    cost: number,
    maxWaitUs = 0,
    receipt?: ReservationReceipt,
  ): ReturnType<typeof step> {
    const call = { verb, cost, nowUs: this.nowUs, blockUs: 0, maxWaitUs, receipt };
    const answer = step(this.rules, this.states, call);
    this.states = answer.states;
    return answer;
  }
}

interface Held {
  readonly receipt: ReservationReceipt;
  readonly amount: number;
  isHeld: boolean;
}

interface Given {
  readonly atUs: number;
  readonly amount: number;
}

/** Plays a trace; returns what was admitted and not given back, and what was refunded. */
function play(
  policies: readonly Policy[],
  rate: Rate,
  trace: readonly TraceStep[],
): { admissions: Given[]; refunds: Given[] } {
  const subject = new Subject(policies);
  const held: Held[] = [];
  const consumed: Given[] = [];
  const refunds: Given[] = [];
  for (const each of trace) {
    subject.nowUs += moveUs(each, rate);
    const { nowUs } = subject;
    const amount = amountOf(each, rate.size);
    if (each.verb === "reserve") {
      const { receipt } = subject.ask(VERBS.reserve, amount, patienceUs(each, rate));
      if (receipt !== undefined) held.push({ receipt, amount, isHeld: true });
    } else if (each.verb === "cancel") {
      const chosen = held.at(-1 - each.back);
      // What gave back nothing still goes: its holder does not want it any more.
      if (chosen?.isHeld === true && chosen.receipt.readyAtUs >= nowUs) {
        subject.ask(VERBS.cancel, chosen.amount, 0, chosen.receipt);
        chosen.isHeld = false;
      }
    } else {
      const before = subject.ask(VERBS.peek, 0).debits;
      const { granted, debits } = subject.ask(VERBS[each.verb], amount);
      if (each.verb === "refund") {
        const back = debits.map(
          ({ available }, i) => available - (before[i]?.available ?? available),
        );
        expect(granted).toBe(Math.min(...back));
        refunds.push({ atUs: nowUs, amount: Math.max(...back) });
      } else if (granted > 0) consumed.push({ atUs: nowUs, amount });
    }
  }
  const booked = held
    .filter(({ isHeld, amount }) => isHeld && amount > 0)
    .map(({ receipt, amount }) => ({ atUs: receipt.readyAtUs, amount }));
  const admissions = [...booked, ...consumed].sort((a, b) => a.atUs - b.atUs);
  return { admissions, refunds };
}

function lineModelOf({ limit, period, size }: Rate, isQueue = false): LineModel {
  return new LineModel(
    BigInt(Math.round(limit * 1000)),
    BigInt(Math.round(period * 1000)),
    BigInt(Math.round(size * 1000)),
    isQueue,
  );
}

function intervalModelOf({ limit, period, size }: Rate): IntervalModel {
  return new IntervalModel(
    BigInt(Math.round(limit * 1000)),
    BigInt(Math.round(period * 1000)),
    BigInt(Math.round(size * 1000)),
  );
}

/** The first pair of admissions with more between them than capacity + rate·distance + what was refunded there. */
function excess(
  { limit, period, size }: Rate,
  admissions: readonly Given[],
  refunds: readonly Given[] = [],
): string | undefined {
  const span = BigInt(Math.round(period * 1e3));
  const rate = BigInt(Math.round(limit * 1000));
  const capacity = BigInt(Math.round(size * 1000));
  for (const [i, { atUs: from }] of admissions.entries()) {
    let sum = 0n;
    for (const { atUs: to, amount } of admissions.slice(i)) {
      sum += BigInt(amount);
      const refunded = refunds
        .filter(({ atUs }) => atUs >= from && atUs <= to)
        .reduce((total, refund) => total + refund.amount, 0);
      const bound = (capacity + BigInt(refunded)) * span + rate * BigInt(to - from);
      if (sum * span > bound) return `${sum} from ${from} to ${to}: ${bound}/${span}`;
    }
  }
  return undefined;
}

/** The same where `limit` comes back in steps: in an instant no more than the capacity. */
function excessInSteps(
  { limit, period, size }: Rate,
  admissions: readonly Given[],
  refunds: readonly Given[],
): string | undefined {
  for (const [i, { atUs: from }] of admissions.entries()) {
    let sum = 0;
    for (const { atUs: to, amount } of admissions.slice(i)) {
      sum += amount;
      const steps = to === from ? 0 : Math.floor((to - from) / Math.round(period * 1e3)) + 1;
      const refunded = refunds
        .filter(({ atUs }) => atUs >= from && atUs <= to)
        .reduce((total, refund) => total + refund.amount, 0);
      const bound = Math.round(size * 1000) + steps * Math.round(limit * 1000) + refunded;
      if (sum > bound) return `${sum} from ${from} to ${to}: ${bound}`;
    }
  }
  return undefined;
}

const bucketOf = ({ limit, period, size }: Rate, name = "p"): Policy =>
  tokenBucket({ name, limit, period, burst: size });
const intervalOf = ({ limit, period, size }: Rate): Policy =>
  tokenBucket({ limit, period, burst: size, refill: "interval" });
const queueOf = ({ limit, period, size }: Rate): Policy =>
  leakyBucket({ limit, period, capacity: size });

const RUNS = { numRuns: runs(3000) };

const usual = { moves: 0, part: 0, back: 0, patience: 0 };

/** Traces that random ones found. */
const FOUND: [Rate, TraceStep[]][] = [
  // A line is reset, and the next one opens in the same µs.
  [
    { limit: 10, period: 1000, size: 2 },
    [
      { ...usual, verb: "reserve", part: 20 },
      { ...usual, verb: "reserve", part: 981 },
      { ...usual, verb: "reset" },
      { ...usual, verb: "reserve", part: 1000 },
      { ...usual, verb: "reserve", part: 1000 },
      { ...usual, verb: "cancel", back: 2 },
      { ...usual, verb: "reserve", moves: 1 },
    ],
  ],
];

const KINDS = {
  bucket: [bucketOf, lineModelOf],
  queue: [queueOf, (rate: Rate) => lineModelOf(rate, true)],
  interval: [intervalOf, intervalModelOf],
} satisfies Record<string, readonly [(rate: Rate) => Policy, (rate: Rate) => BucketModel]>;

describe("the schedule is the model's", () => {
  test.each(["bucket", "queue", "interval"] as const)("%s", (kind) => {
    const [policyOf, modelOf] = KINDS[kind];
    const everyRate = kind === "interval" ? fc.oneof(rates, stepRates) : rates;
    fc.assert(
      fc.property(everyRate, traces(VERBS_IN_USE), (rate, trace) => {
        const subject = new Subject([policyOf(rate)]);
        const model: BucketModel = modelOf(rate);
        const held: { receipt: ReservationReceipt; model: ModelBooking; amount: number }[] = [];
        for (const each of trace) {
          subject.nowUs += moveUs(each, rate);
          const now = BigInt(subject.nowUs);
          const amount = amountOf(each, rate.size);
          if (each.verb === "reserve") {
            const patience = patienceUs(each, rate);
            const { receipt } = subject.ask(VERBS.reserve, amount, patience);
            const expected = model.reserve(now, BigInt(amount), BigInt(patience));
            expect(receipt?.readyAtUs).toEqual(
              expected === undefined ? undefined : Number(expected.readyAt),
            );
            if (receipt !== undefined && expected !== undefined) {
              expect(receipt.delayUs).toBe(receipt.readyAtUs - subject.nowUs);
              held.push({ receipt, model: expected, amount });
            }
          } else if (each.verb === "cancel") {
            const [chosen] = held.splice(-1 - each.back, 1);
            if (chosen === undefined) continue;
            const { granted } = subject.ask(VERBS.cancel, chosen.amount, 0, chosen.receipt);
            expect(granted).toBe(Number(model.cancel(now, chosen.model)));
          } else if (each.verb === "consume") {
            const { debits } = subject.ask(VERBS.consume, amount);
            expect(debits[0]?.reason === 0).toBe(model.consume(now, BigInt(amount)));
          } else {
            const { granted } = subject.ask(VERBS[each.verb], amount);
            if (each.verb === "reset") model.reset(now);
            else {
              const back = model[each.verb](now, BigInt(amount));
              if (each.verb === "refund") expect(granted).toBe(Number(back));
            }
          }
          const { debits } = subject.ask(VERBS.peek, 0);
          expect(debits[0]?.available).toBe(Number(model.room(now)));
        }
      }),
      { ...RUNS, examples: FOUND },
    );
  });

  test("where nothing is refunded or taken as a penalty, it is that of tat and sold", () => {
    fc.assert(
      fc.property(slowRates, traces(["reserve", "reserve", "cancel"]), (rate, trace) => {
        const subject = new Subject([bucketOf(rate)]);
        const model = new ScheduleModel(
          BigInt(Math.round(rate.limit * 1000)),
          BigInt(Math.round(rate.period * 1000)),
          BigInt(Math.round(rate.size * 1000)),
        );
        const held: [ReservationReceipt, ReturnType<ScheduleModel["reserve"]>, number][] = [];
        for (const each of trace) {
          // Bookings of one µs that nobody waits behind are not told apart in the state: see the README.
          subject.nowUs += Math.max(1, moveUs(each, rate));
          const amount = Math.max(1, amountOf(each, rate.size));
          const now = BigInt(subject.nowUs);
          if (each.verb === "reserve") {
            const { receipt } = subject.ask(VERBS.reserve, amount, CENTURY_US);
            const expected = model.reserve(now, BigInt(amount));
            expect(receipt?.readyAtUs).toBe(Number(expected.readyAt));
            if (receipt !== undefined) held.push([receipt, expected, amount]);
          } else {
            const [chosen] = held.splice(-1 - each.back, 1);
            if (chosen === undefined) continue;
            subject.ask(VERBS.cancel, chosen[2], 0, chosen[0]);
            model.cancel(now, chosen[1]);
          }
        }
      }),
      RUNS,
    );
  });
});

test("nothing is given back twice, however often a reservation is cancelled", async () => {
  await fc.assert(
    fc.asyncProperty(
      rates,
      traces(["reserve", "reserve", "consume", "cancel", "cancel", "cancel"]),
      async (rate, trace) => {
        const clock = new ManualClock(START_US / 1e3);
        const policy = bucketOf(rate);
        const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
        const model = lineModelOf(rate);
        const held: { reservation: Granted; model: ModelBooking; gaveBack?: boolean }[] = [];
        for (const each of trace) {
          clock.advance(moveUs(each, rate) / 1e3);
          const now = BigInt(clock.nowUs());
          const amount = amountOf(each, rate.size);
          if (each.verb === "reserve") {
            const maxWait = each.patience === 0 ? Infinity : patienceUs(each, rate) / 1e3;
            const patience = BigInt(patienceUs(each, rate));
            const reservation = await limiter.reserve("k", { cost: amount / 1000, maxWait });
            const expected = model.reserve(now, BigInt(amount), patience);
            expect(reservation.allowed && reservation.readyAtUs).toEqual(
              expected !== undefined && Number(expected.readyAt),
            );
            if (reservation.allowed && expected !== undefined) {
              held.push({ reservation, model: expected });
            }
          } else if (each.verb === "consume") {
            const { allowed } = await limiter.consume("k", { cost: amount / 1000 });
            expect(allowed).toBe(model.consume(now, BigInt(amount)));
          } else {
            // It stays, to be cancelled again.
            const chosen = held.at(-1 - each.back);
            if (chosen === undefined) continue;
            chosen.gaveBack ??= model.cancel(now, chosen.model) > 0n;
            expect(await chosen.reservation.cancel()).toBe(chosen.gaveBack);
          }
        }
      },
    ),
    { numRuns: runs(1000) },
  );
});

/**
 * Limiters that share some of their buckets, as processes may that know nothing of each other. Nothing comes back
 * that somebody behind holds, in whichever of the buckets; less may, where the state cannot tell.
 */
describe("of buckets that several sets charge", () => {
  /** Subsets of three buckets. */
  const sets = fc.uniqueArray(
    fc.constantFrom<readonly number[]>([0], [1], [2], [0, 1], [1, 0], [1, 2], [0, 2], [0, 1, 2]),
    { minLength: 1, maxLength: 3, selector: (set) => set.join("") },
  );

  test("nothing is given back that a later reservation holds, and all else is as in the model", () => {
    let givenBack = 0;
    let kept = 0;
    fc.assert(
      fc.property(
        fc.array(rates, { minLength: 3, maxLength: 3 }),
        sets,
        traces([...VERBS_IN_USE, "reserve", "reserve", "cancel"]),
        fc.array(fc.nat(2), { minLength: 40, maxLength: 40 }),
        (three, chosenSets, trace, choices) => {
          const rules = three.map((rate, i) => ruleOf(bucketOf(rate, `p${i}`)));
          const states: States[number][] = rules.map(() => undefined);
          const models = three.map((rate) => lineModelOf(rate));
          const setModels = chosenSets.map(
            (set) => new SetModel(set.map((i) => models[i] as LineModel)),
          );
          const [slowest] = [...three].sort((a, b) => unitUs(b) - unitUs(a)) as [Rate];
          const size = Math.min(...three.map((rate) => rate.size));
          const held: {
            set: number;
            receipt: ReservationReceipt;
            amount: number;
            model: SetBooking;
          }[] = [];
          let nowUs = START_US;
          const ask = (
            set: readonly number[],
            verb: Verb,
            cost: number,
            maxWaitUs = 0,
            receipt?: ReservationReceipt,
          ): ReturnType<typeof step> => {
            const answer = step(
              set.map((i) => rules[i] as Rule),
              set.map((i) => states[i]),
              { verb, cost, nowUs, blockUs: 0, maxWaitUs, receipt },
            );
            set.forEach((i, debit) => (states[i] = answer.states[debit]));
            return answer;
          };

          for (const [i, each] of trace.entries()) {
            nowUs += moveUs(each, slowest);
            const now = BigInt(nowUs);
            const amount = amountOf(each, size);
            const chosen = (choices[i] as number) % chosenSets.length;
            const set = chosenSets[chosen] as readonly number[];
            const model = setModels[chosen] as SetModel;
            if (each.verb === "reserve") {
              const patience = patienceUs(each, slowest);
              const { receipt } = ask(set, VERBS.reserve, amount, patience);
              const expected = model.reserve(now, BigInt(amount), BigInt(patience));
              expect(receipt?.readyAtUs).toEqual(expected && Number(expected.readyAt));
              if (receipt !== undefined && expected !== undefined) {
                held.push({ set: chosen, receipt, amount, model: expected });
              }
            } else if (each.verb === "cancel") {
              const [given] = held.splice(-1 - each.back, 1);
              if (given === undefined) continue;
              const itsModel = setModels[given.set] as SetModel;
              const itsSet = chosenSets[given.set] as readonly number[];
              const { granted } = ask(itsSet, VERBS.cancel, given.amount, 0, given.receipt);
              const most = Number(itsModel.mayGiveBack(now, given.model));
              expect([0, most]).toContain(granted);
              if (granted > 0 || chosenSets.length === 1) expect(granted).toBe(most);
              if (granted > 0) {
                itsModel.leave(now, given.model, BigInt(granted));
                givenBack += 1;
              } else if (most > 0) kept += 1;
            } else if (each.verb === "consume") {
              const { debits } = ask(set, VERBS.consume, amount);
              const isAllowed = debits.every(({ reason }) => reason === 0);
              expect(isAllowed).toBe(model.consume(now, BigInt(amount)));
            } else {
              const { granted } = ask(set, VERBS[each.verb], amount);
              if (each.verb === "reset") model.reset(now);
              else {
                const back = model[each.verb](now, BigInt(amount));
                if (each.verb === "refund") expect(granted).toBe(Number(back));
              }
            }
            for (const [bucket, itsModel] of models.entries()) {
              const { debits } = ask([bucket], VERBS.peek, 0);
              expect(debits[0]?.available).toBe(Number(itsModel.room(now)));
            }
          }
        },
      ),
      RUNS,
    );
    // That the state cannot tell is the exception.
    expect(givenBack).toBeGreaterThan(10 * kept);
  });
});

describe("no interval sees more starts than the bound", () => {
  test("a bucket, whatever is cancelled and taken meanwhile", () => {
    fc.assert(
      fc.property(
        rates,
        traces(["reserve", "reserve", "cancel", "consume", "penalize"]),
        (rate, trace) => {
          const policy = bucketOf(rate);
          const { admissions } = play([policy], rate, trace);
          expect(excess(rate, admissions)).toBeUndefined();
          const records = admissions.map(({ atUs, amount }) =>
            record({ atUs: START_US, readyAtUs: atUs, granted: amount / 1000 }),
          );
          expect(checkBound(policy, records)).toMatchObject({ holds: true });
        },
      ),
      RUNS,
    );
  });

  test("a bucket with refunds: each allows as much again in intervals that it lies in, and in no other", () => {
    fc.assert(
      fc.property(
        rates,
        traces(["reserve", "reserve", "cancel", "consume", "penalize", "refund"]),
        (rate, trace) => {
          const { admissions, refunds } = play([bucketOf(rate)], rate, trace);
          expect(excess(rate, admissions, refunds)).toBeUndefined();
        },
      ),
      RUNS,
    );
  });

  test("refills by interval, whatever is cancelled, given back and taken meanwhile", () => {
    fc.assert(
      fc.property(
        fc.oneof(rates, stepRates),
        traces(["reserve", "reserve", "cancel", "consume", "penalize", "refund"]),
        (rate, trace) => {
          const policy = intervalOf(rate);
          const { admissions, refunds } = play([policy], rate, trace);
          expect(excessInSteps(rate, admissions, refunds)).toBeUndefined();
          if (refunds.length > 0) return;
          const records = admissions.map(({ atUs, amount }) =>
            record({ atUs: START_US, readyAtUs: atUs, granted: amount / 1000 }),
          );
          expect(checkBound(policy, records)).toMatchObject({ holds: true });
        },
      ),
      RUNS,
    );
  });

  test("gcra is the same", () => {
    fc.assert(
      fc.property(slowRates, traces(["reserve", "reserve", "cancel"]), (rate, trace) => {
        const { limit, period, size: burst } = rate;
        expect(excess(rate, play([gcra({ limit, period, burst })], rate, trace).admissions)).toBe(
          undefined,
        );
      }),
      { numRuns: runs(500) },
    );
  });

  test("every bucket of a set that is reserved in one call", () => {
    fc.assert(
      fc.property(
        fc.array(rates, { minLength: 2, maxLength: 3 }),
        traces(["reserve", "reserve", "reserve", "cancel", "consume", "penalize", "refund"], 60),
        (set, trace) => {
          const policies = set.map((rate, i) => bucketOf(rate, `p${i}`));
          const [slowest] = [...set].sort((a, b) => unitUs(b) - unitUs(a)) as [Rate];
          const size = Math.min(...set.map((rate) => rate.size));
          const { admissions, refunds } = play(policies, { ...slowest, size }, trace);
          for (const rate of set) expect(excess(rate, admissions, refunds)).toBeUndefined();
        },
      ),
      RUNS,
    );
  });
});

test("calls of a queue start as far apart as what each takes needs to leak, at most the capacity in line", () => {
  fc.assert(
    fc.property(rates, traces(["reserve", "reserve", "reserve", "cancel"]), (rate, trace) => {
      const { admissions } = play([queueOf(rate)], rate, trace);
      const leak = BigInt(Math.round(rate.limit * 1000));
      const span = BigInt(Math.round(rate.period * 1000));
      for (const [i, { atUs, amount }] of admissions.entries()) {
        const next = admissions[i + 1];
        if (next === undefined) break;
        expect(BigInt(next.atUs - atUs) * leak >= BigInt(amount) * span).toBe(true);
      }
      expect(excess(rate, admissions)).toBeUndefined();
    }),
    RUNS,
  );
});

/**
 * The cancel cases of golang.org/x/time/rate (rate_test.go), of which this rule is a relative: requests of
 * `n` at a tenth of a second, the tenth at which each may start, and cancellations by name.
 */
describe("x/time/rate's cases", () => {
  type Ask = readonly [at: number, n: number, start: number | undefined, name?: string];
  type Cancel = readonly [at: number, name: string];
  const cases: Readonly<Record<string, readonly [burst: number, (Ask | Cancel)[]]>> = {
    SimpleReserve: [
      2,
      [
        [0, 2, 0],
        [0, 2, 2],
        [3, 2, 4],
      ],
    ],
    CancelInvalid: [
      2,
      [
        [0, 2, 0],
        [0, 3, undefined],
        [0, 2, 2],
      ],
    ],
    CancelLast: [
      2,
      [
        [0, 2, 0],
        [0, 2, 2, "r"],
        [1, "r"],
        [1, 2, 2],
      ],
    ],
    CancelTooLate: [
      2,
      [
        [0, 2, 0],
        [0, 2, 2, "r"],
        [3, "r"],
        [3, 2, 4],
      ],
    ],
    Cancel0Tokens: [
      2,
      [
        [0, 2, 0],
        [0, 1, 1, "r"],
        [0, 1, 2],
        [0, "r"],
        [0, 1, 3],
      ],
    ],
    Cancel1Token: [
      2,
      [
        [0, 2, 0],
        [0, 2, 2, "r"],
        [0, 1, 3],
        [2, "r"],
        [2, 2, 4],
      ],
    ],
    CancelMulti: [
      4,
      [
        [0, 4, 0],
        [0, 3, 3, "a"],
        [0, 1, 4],
        [0, 1, 5, "c"],
        [1, "c"],
        [1, "a"],
        [1, 3, 5],
      ],
    ],
    "cancel at once": [
      2,
      [
        [0, 2, 0, "r"],
        [0, "r"],
        [0, 2, 0],
      ],
    ],
  };
  test.each(Object.entries(cases))("%s", (_, [burst, steps]) => {
    const subject = new Subject([tokenBucket({ limit: 10, period: 1000, burst })]);
    const named = new Map<string, [ReservationReceipt, number]>();
    for (const [at, ...rest] of steps) {
      subject.nowUs = START_US + at * 100_000;
      if (typeof rest[0] === "string") {
        const [receipt, n] = named.get(rest[0]) as [ReservationReceipt, number];
        subject.ask(VERBS.cancel, n * 1000, 0, receipt);
        continue;
      }
      const [n, start, name] = rest;
      const { receipt } = subject.ask(VERBS.reserve, n * 1000, CENTURY_US);
      expect(receipt?.readyAtUs).toBe(start === undefined ? undefined : START_US + start * 100_000);
      if (receipt !== undefined && name !== undefined) named.set(name, [receipt, n]);
    }
  });
});

test("after a reset, a receipt from before gives nothing back", () => {
  const subject = new Subject([tokenBucket({ limit: 1, period: 1000, burst: 10 })]);
  const reserve = (amount: number): ReservationReceipt | undefined =>
    subject.ask(VERBS.reserve, amount, CENTURY_US).receipt;
  reserve(10_000);
  const before = reserve(5000);
  subject.nowUs += 1;
  subject.ask(VERBS.reset, 0);
  reserve(10_000);
  const behind = reserve(5000);
  const { granted, debits } = subject.ask(VERBS.cancel, 5000, 0, before);
  expect([granted, debits[0]?.available]).toEqual([0, -5000]);
  expect(subject.ask(VERBS.cancel, 5000, 0, behind).granted).toBe(5000);
});

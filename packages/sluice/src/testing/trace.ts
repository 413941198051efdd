/** Random traces: what a store is asked, step by step, made from a seed. */
import { calendarWindow } from "../algorithms/calendar-window/policy.js";
import { gcra } from "../algorithms/gcra/policy.js";
import { leakyBucket } from "../algorithms/leaky-bucket/policy.js";
import { tokenBucket } from "../algorithms/token-bucket/policy.js";
import { fixedWindow } from "../algorithms/fixed-window/policy.js";
import type { Policy } from "../algorithms/registry.js";
import { slidingLog } from "../algorithms/sliding-log/policy.js";
import { slidingWindow } from "../algorithms/sliding-window/policy.js";

export type TraceVerb =
  | "consume"
  | "consumeUpTo"
  | "consumeMany"
  | "consumeAtomic"
  | "peek"
  | "reserve"
  | "cancel"
  | "refund"
  | "penalize"
  | "block"
  | "unblock"
  | "reset";

export interface TraceStep {
  /** How far the clock moves before the call; negative = back. */
  readonly advanceUs: number;
  readonly verb: TraceVerb;
  readonly key: string;
  /** Units. */
  readonly cost: number;
  /** Length of a block. */
  readonly durationMs: number;
  /** Whether it leaves longer ones as they are. */
  readonly keepLonger?: boolean | undefined;
  /** The longest wait of a reserve; Infinity = any. */
  readonly maxWaitMs: number;
  /** Which reservation a cancel is about: so many before the newest. */
  readonly back: number;
  /** The variant of the policies that this call uses. */
  readonly variant: number;
  /** Asked of another limiter, which has this one of the policies alone; undefined: of the one that has all. */
  readonly alone?: number | undefined;
}

export interface Trace {
  readonly seed: number;
  readonly startMs: number;
  /** What a limiter is made with; the other variants change options from call to call. */
  readonly variants: readonly (readonly Policy[])[];
  readonly blockForMs: number;
  /** Whether atomic calls span two keys, or take the same one twice. */
  readonly atomicAcrossKeys: boolean;
  readonly steps: readonly TraceStep[];
}

/** A small seeded generator (mulberry32): the same seed gives the same trace everywhere. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  pick<T>(values: readonly T[]): T {
    return values[this.int(0, values.length - 1)] as T;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }
}

/** Limits and spans that do not divide each other, and extremes. */
const RATES: readonly (readonly [limit: number, spanMs: number])[] = [
  [3, 1000],
  [7, 60_000],
  [1e6, 1000],
  [1, 31 * 86_400_000],
  [0.5, 1000],
  [10, 1000],
  [2.345, 777.777],
  [1e9, 1],
  [1e9, 366 * 86_400_000],
  [100, 3_600_000],
  [13, 0.001 * 1_234_567],
  [0.001, 10_000],
];
const LOG_RATES = RATES.filter(([limit]) => limit <= 10_000);
const ZONES = ["UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu"];
const CALENDAR_UNITS = ["minute", "hour", "day", "week", "month", "year"] as const;

type MakePolicy = (random: Random, name: string) => Policy;

const MAKERS: readonly MakePolicy[] = [
  (random, name) => {
    const [limit, period] = random.pick(RATES);
    const refill = random.pick(["continuous", "interval"] as const);
    return tokenBucket({ name, limit, period, refill, burst: burstFor(random, limit, period) });
  },
  (random, name) => {
    const [limit, period] = random.pick(RATES);
    return gcra({
      name,
      limit,
      period,
      burst: random.chance(0.5) ? 1 : burstFor(random, limit, period),
    });
  },
  (random, name) => {
    const [limit, period] = random.pick(RATES);
    return leakyBucket({ name, limit, period, capacity: burstFor(random, limit, period) });
  },
  (random, name) => {
    const [limit, window] = random.pick(RATES);
    return fixedWindow({ name, limit, window, align: random.pick(["clock", "first"] as const) });
  },
  (random, name) =>
    calendarWindow({
      name,
      limit: random.pick(RATES)[0],
      unit: random.pick(CALENDAR_UNITS),
      timeZone: random.pick(ZONES),
      weekStartsOn: random.pick(["monday", "sunday"] as const),
    }),
  (random, name) => {
    const [limit, window] = random.pick(RATES);
    return slidingWindow({ name, limit, window });
  },
  (random, name) => {
    const [limit, window] = random.pick(LOG_RATES);
    return slidingLog({ name, limit, window });
  },
];

/** The first so many are buckets, which calls can wait for. */
const BUCKETS = 3;

const CENTURY_MS = 36_525 * 86_400_000;

function burstFor(random: Random, limit: number, periodMs: number): number {
  const burst = random.pick([limit, 1, limit * 2, 0.5, 5, 1e9]);
  const most = Math.min(1e9, (limit * CENTURY_MS) / periodMs / 2);
  return Math.max(0.001, Math.floor(Math.min(burst, most) * 1000) / 1000);
}

/** Longer than any need would be, shorter than what a test's keys are kept for. */
const VERBS: readonly (readonly [TraceVerb, number])[] = [
  ["consume", 12],
  ["consumeUpTo", 3],
  ["consumeMany", 2],
  ["consumeAtomic", 2],
  ["peek", 3],
  ["reserve", 6],
  ["cancel", 3],
  ["refund", 2],
  ["penalize", 2],
  ["block", 0.7],
  ["unblock", 0.5],
  ["reset", 0.5],
];

/** For traces about those who wait: the line of a key seldom empties. */
const LINE_VERBS: typeof VERBS = [
  ["reserve", 12],
  ["cancel", 6],
  ["refund", 2],
  ["consume", 2],
  ["penalize", 1],
  ["consumeUpTo", 1],
  ["peek", 1],
  ["reset", 0.3],
];

function pickVerb(random: Random, verbs: typeof VERBS): TraceVerb {
  let at = random.next() * verbs.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [verb, weight] of verbs) {
    at -= weight;
    if (at < 0) return verb;
  }
  return "consume";
}

/** The span that a policy's quota comes back in, for moving the clock by telling amounts. */
function spanUs(policy: Policy): number {
  if ("period" in policy) return policy.period * 1e3;
  if ("window" in policy) return policy.window * 1e3;
  return {
    minute: 60e6,
    hour: 3600e6,
    day: 86_400e6,
    week: 7 * 86_400e6,
    month: 30 * 86_400e6,
    year: 365 * 86_400e6,
  }[policy.unit];
}

function pickAdvanceUs(random: Random, policy: Policy): number {
  const span = spanUs(policy);
  const unit = Math.max(1, Math.round(span / policy.limit));
  const amount = random.pick([
    0,
    0,
    1,
    random.int(1, 1000),
    Math.round(random.next() * unit),
    unit,
    unit - 1,
    Math.round(random.next() * span),
    span,
    span * 2 + 1,
    -1,
    -Math.round(random.next() * span),
  ]);
  return Math.max(-span, Math.min(amount, 400 * 86_400e6));
}

function pickCost(random: Random, policy: Policy, verb: TraceVerb): number {
  const { limit } = policy;
  const cost = random.pick([
    1,
    1,
    1,
    2,
    0.001,
    1.5,
    limit,
    limit / 2,
    limit * 1.001,
    0,
    random.int(1, 10),
  ]);
  if (verb === "consumeUpTo") return Math.max(1, Math.min(1e9, Math.floor(cost)));
  return Math.min(1e9, Math.floor(cost * 1000 + 1e-6) / 1000);
}

/** The trace of a seed: one to three policies with up to three variants of their options. */
export function makeTrace(seed: number, length: number): Trace {
  const random = new Random(seed);
  const inLine = random.chance(0.25);
  const makers = Array.from({ length: random.pick([1, 1, 1, 2, 3]) }, () =>
    random.pick(inLine ? MAKERS.slice(0, BUCKETS) : MAKERS),
  );
  const make = (): Policy[] => makers.map((maker, i) => maker(random, `p${i}`));
  const variants = Array.from({ length: random.pick([1, 1, 2, 3]) }, make);
  const steps = Array.from({ length }, (): TraceStep => {
    const variant = random.int(0, variants.length - 1);
    const policy = random.pick(variants[variant] as readonly Policy[]);
    const verb = pickVerb(random, inLine ? LINE_VERBS : VERBS);
    return {
      advanceUs: Math.round(pickAdvanceUs(random, policy) / (inLine ? random.int(1, 10) : 1)),
      verb,
      key: random.pick(["a", "a", "a", "b", "\u{1f6b0}"]),
      cost: pickCost(random, policy, verb),
      durationMs: random.pick([1, 250.001, 60_000]),
      keepLonger: random.chance(0.5),
      maxWaitMs: random.pick([
        Number.POSITIVE_INFINITY,
        Number.POSITIVE_INFINITY,
        0,
        0.001,
        1000,
        86_400_000,
      ]),
      back: random.pick([0, 0, 1, 2]),
      variant,
      alone: random.chance(0.3) ? random.int(0, makers.length - 1) : undefined,
    };
  });
  return {
    seed,
    startMs: random.int(1_700_000_000_000, 1_900_000_000_000),
    variants,
    blockForMs: random.chance(0.2) ? random.pick([1, 5000]) : 0,
    atomicAcrossKeys: true,
    steps,
  };
}

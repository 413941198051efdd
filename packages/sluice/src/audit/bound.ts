/** Proves or refutes what a policy promises, from the times and amounts of what was admitted alone. */
import type { AnyWindowBound, RateBound, WindowsBound, Bound } from "../algorithms/bound.js";
import type { Policy } from "../algorithms/registry.js";
import { toolsOf } from "../algorithms/toolbox.js";
import { type Admissions, admissionsOf, bigints } from "./admissions.js";
import type { Rows } from "./columns.js";
import { type Fraction, fraction, subtract } from "./fraction.js";
import { SuffixMaximum } from "./suffix-maximum.js";
import type { LogRecord } from "./record.js";

/**
 * The interval that comes nearest to its bound, or passes it.
 *
 * A bucket's interval is closed: both ends are admissions, and the bound is that of its length
 * D = toUs − fromUs, which every half-open [t, t + D′) around it exceeds by as little as one likes.
 * A window's interval is half-open: what happens at `toUs` is outside.
 */
export interface WorstInterval {
  /** Its beginning, by the store's clock, in µs since the epoch. */
  readonly fromUs: number;
  /** Its end, on the same clock. */
  readonly toUs: number;
  /** Whether its last instant belongs to it. */
  readonly closed: boolean;
  /** Units admitted inside. */
  readonly admitted: Fraction;
  /** Units that may be admitted inside. */
  readonly bound: Fraction;
  /** bound − admitted: how many units were to spare; negative refutes the policy. */
  readonly slack: Fraction;
}

/** What a policy promises about every interval, and whether the admissions of one key kept it. */
export interface BoundReport {
  /** The policy's name. */
  readonly policy: string;
  /** Whether no interval admitted more than the bound. */
  readonly holds: boolean;
  /** True if the bound itself must not be reached ("fewer than"). */
  readonly strict: boolean;
  /** How many intervals the verdict covers: every pair of admissions, or every window in use. */
  readonly intervals: number;
  /** Undefined when nothing was admitted, or nothing promised: there is no interval to look at. */
  readonly worst: WorstInterval | undefined;
}

/** A window and what it admitted, in thousandths of a unit. */
interface Candidate {
  readonly fromUs: number;
  readonly toUs: number;
  readonly admitted: bigint;
}

interface Finding {
  readonly intervals: number;
  readonly worst: WorstInterval;
}

/**
 * Proves or refutes the policy's bound over every interval, for the admissions of one key.
 *
 * Arithmetic is exact (BigInt), and the algorithm that made the decisions is not used: only the times and amounts of what
 * was admitted count. An admission happens at `readyAtUs` if the record has one, else at `atUs`. Only records whose
 * `source` is "store" are the policy's doing.
 */
export function checkBound(policy: Policy, records: Rows<LogRecord>): BoundReport {
  const admissions = admissionsOf(records);
  const bound = toolsOf(policy).bound(policy);
  const strict = bound.kind === "any-window" && bound.fewer;
  const found = admissions.length === 0 ? undefined : find(bound, admissions);
  if (found === undefined) {
    return { policy: policy.name, holds: true, strict, intervals: 0, worst: undefined };
  }
  const { intervals, worst } = found;
  const holds = strict ? worst.slack.numerator > 0n : worst.slack.numerator >= 0n;
  return { policy: policy.name, holds, strict, intervals, worst };
}

/** With what was admitted taken off, still less than 2^63. */
const FITS = 2n ** 62n;

function find(bound: Bound, admissions: Admissions): Finding | undefined {
  switch (bound.kind) {
    case "rate":
      return bound.refill === "interval"
        ? stepwiseBucket(admissions, bound)
        : bucket(admissions, bound);
    case "windows":
      return fullestWindow(admissions, bound);
    case "any-window":
      return anyWindow(admissions, bound);
    case "none":
      return undefined;
  }
}

/**
 * admitted ≤ burst + limit·D/period for every interval.
 *
 * The level of a bucket that starts empty, drains at limit/period and never overflows is, at each
 * admission, the largest excess of admitted over limit·D/period among the intervals that end
 * there; so one pass looks at all of them. The level is kept times the period, to stay whole.
 */
function bucket(admissions: Admissions, { limit, period, burst }: RateBound): Finding {
  const rate = thousandths(limit);
  const periodUs = microseconds(period);
  const size = thousandths(burst);
  let level = 0n;
  let fromUs = 0;
  let previousUs = 0;
  let highest = { level: -1n, fromUs: 0, toUs: 0 };
  for (const { atUs, amount } of admissions) {
    level -= rate * BigInt(atUs - previousUs);
    previousUs = atUs;
    if (level <= 0n) {
      level = 0n;
      fromUs = atUs;
    }
    level += amount * periodUs;
    if (level > highest.level) highest = { level, fromUs, toUs: atUs };
  }
  const drained = rate * BigInt(highest.toUs - highest.fromUs);
  return {
    intervals: pairs(admissions.length),
    worst: {
      ...interval(highest.fromUs, highest.toUs, true),
      ...amounts(
        fraction(highest.level + drained, periodUs * 1000n),
        fraction(size * periodUs + drained, periodUs * 1000n),
      ),
    },
  };
}

/**
 * admitted ≤ burst + limit·⌈D/period⌉ for every interval, for a bucket refilled all at once.
 *
 * Just above the distance of two admissions ⌈D/period⌉ is ⌊(to − from)/period⌋ + 1. With each time written as a·period + b,
 * that floor is a(to) − a(from), less 1 if b(to) < b(from). The excess is then a term of `to` plus a term of `from`, and
 * the best `from` is the larger of two maxima: over all of them, and, with one refill less allowed, over those with b(from)
 * > b(to).
 */
function stepwiseBucket(admissions: Admissions, { limit, period, burst }: RateBound): Finding {
  const refill = thousandths(limit);
  const periodUs = toMicroseconds(period);
  const phases = phasesOf(admissions, periodUs);
  const firstStart = startOfWindow(admissions.at(0)?.atUs ?? 0, periodUs);
  const windows = (startOfWindow(admissions.at(-1)?.atUs ?? 0, periodUs) - firstStart) / periodUs;
  const fits = refill * BigInt(windows) < FITS;
  const starts = new SuffixMaximum(phases.length, fits);
  const before = bigints(admissions.length);
  let total = 0n;
  let to = 0;
  let highest = { excess: undefined as bigint | undefined, from: 0, to: 0 };

  for (const { atUs, amount } of admissions) {
    const rank = rankIn(phases, atUs % periodUs);
    const refilled = refill * BigInt((startOfWindow(atUs, periodUs) - firstStart) / periodUs);
    before[to] = total;
    starts.add(rank, refilled - total, to);
    total += amount;
    const anywhere = starts.maximumFrom(0);
    const later = starts.maximumFrom(rank + 1);
    for (const [start, extra] of [
      [anywhere, 0n],
      [later, refill],
    ] as const) {
      if (start === undefined) continue;
      const excess = total - refilled + start.value + extra;
      if (highest.excess === undefined || excess > highest.excess) {
        highest = { excess, from: start.index, to };
      }
    }
    to += 1;
  }

  const fromUs = admissions.at(highest.from)?.atUs ?? 0;
  const last = admissions.at(highest.to);
  const toUs = last?.atUs ?? 0;
  const admitted = (before[highest.to] ?? 0n) + (last?.amount ?? 0n) - (before[highest.from] ?? 0n);
  const refills = BigInt(Math.floor((toUs - fromUs) / periodUs) + 1);
  return {
    intervals: pairs(admissions.length),
    worst: {
      ...interval(fromUs, toUs, true),
      ...amounts(units(admitted), units(thousandths(burst) + refill * refills)),
    },
  };
}

/** admitted ≤ limit in each window that holds an admission. */
function fullestWindow(admissions: Admissions, { limit, windowOf }: WindowsBound): Finding {
  let windows = 0;
  let current: Candidate = { fromUs: 0, toUs: 0, admitted: 0n };
  let fullest = current;
  for (const { atUs, amount } of admissions) {
    if (windows === 0 || atUs >= current.toUs) {
      windows += 1;
      current = { ...windowOf(atUs), admitted: 0n };
    }
    current = { ...current, admitted: current.admitted + amount };
    if (current.admitted > fullest.admitted) fullest = current;
  }
  return { intervals: windows, worst: windowInterval(fullest, thousandths(limit)) };
}

/** admitted against `limit` in [t, t + window) for every t; two pointers see all that start at an admission. */
function anyWindow(admissions: Admissions, { limit, window }: AnyWindowBound): Finding {
  const windowUs = toMicroseconds(window);
  let admitted = 0n;
  let first = 0;
  let fullest: Candidate = { fromUs: 0, toUs: 0, admitted: 0n };
  for (const { atUs, amount } of admissions) {
    admitted += amount;
    let oldest = admissions.at(first);
    while (oldest !== undefined && oldest.atUs <= atUs - windowUs) {
      admitted -= oldest.amount;
      first += 1;
      oldest = admissions.at(first);
    }
    if (oldest !== undefined && admitted > fullest.admitted) {
      fullest = { fromUs: oldest.atUs, toUs: oldest.atUs + windowUs, admitted };
    }
  }
  return { intervals: admissions.length, worst: windowInterval(fullest, thousandths(limit)) };
}

function windowInterval(candidate: Candidate, bound: bigint): WorstInterval {
  return {
    ...interval(candidate.fromUs, candidate.toUs, false),
    ...amounts(units(candidate.admitted), units(bound)),
  };
}

function interval(fromUs: number, toUs: number, closed: boolean) {
  return { fromUs, toUs, closed };
}

function amounts(admitted: Fraction, bound: Fraction) {
  return { admitted, bound, slack: subtract(bound, admitted) };
}

/** How many intervals have an admission at both ends, an interval of one included. */
function pairs(count: number): number {
  return (count * (count + 1)) / 2;
}

/** Every distance of an admission from the last multiple of the period before it, in order. */
function phasesOf(admissions: Admissions, periodUs: number): Float64Array {
  const phases = new Float64Array(admissions.length);
  let count = 0;
  for (const { atUs } of admissions) {
    phases[count] = atUs % periodUs;
    count += 1;
  }
  phases.sort();
  count = 0;
  for (const phase of phases) {
    if (count > 0 && phase === phases[count - 1]) continue;
    phases[count] = phase;
    count += 1;
  }
  return phases.subarray(0, count);
}

/** The index of `value`, which must be there. */
function rankIn(sorted: Float64Array, value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The remainder is exact for integers, which a rounded quotient is not. */
function startOfWindow(atUs: number, windowUs: number): number {
  return atUs - (atUs % windowUs);
}

function units(inThousandths: bigint): Fraction {
  return fraction(inThousandths, 1000n);
}

function thousandths(value: number): bigint {
  return BigInt(Math.round(value * 1000));
}

function toMicroseconds(ms: number): number {
  return Math.round(ms * 1000);
}

function microseconds(ms: number): bigint {
  return BigInt(toMicroseconds(ms));
}

/**
 * The bucket: one kernel for token bucket, GCRA and leaky bucket. Twin: kernel.lua. Maths: README.md. It says what is
 * available; whether a call is allowed is decided in ../decide.ts.
 *
 * The level is used + remainder/per thousandths, and falls by limit/period thousandths a µs, or by
 * `limit` at the end of each period ("interval"). What is used is kept rather than a time, so that
 * units in use survive a change of options.
 */
import { CENTURY_US } from "../../core/duration.js";
import { mulDiv, remainder } from "../../core/mul-div.js";
import {
  FRESH,
  type Kernel,
  type ReservationRules,
  MAX_USED,
  type State,
  UNLIMITED,
} from "../kernel.js";
import { consumeFromBucket, type DrainParams } from "./fast.js";

export interface BucketParams extends DrainParams {
  readonly reservations: ReservationRules;
}

export interface BucketState extends State {
  used: number;
  remainder: number;
  per: number;
  /** Time up to which the drain is accounted: for intervals, the anchor of the running one. */
  sinceUs: number;
}

function advance(s: BucketState, p: BucketParams, nowUs: number): void {
  if (s.per !== p.per) {
    if (s.remainder > 0) s.used += 1;
    s.remainder = 0;
    s.per = p.per;
  }
  if (s.used > p.maximum) s.used = p.maximum;
  if (s.used > 0 || s.remainder > 0) {
    const elapsed = nowUs - s.sinceUs;
    if (p.interval) {
      const refills = Math.floor(elapsed / p.period);
      s.used -= refills * p.limit;
      s.sinceUs += refills * p.period;
    } else {
      s.used -= mulDiv(elapsed, p.limit, p.period);
      s.remainder -= remainder[0] as number;
      if (s.remainder < 0) {
        s.used -= 1;
        s.remainder += p.per;
      }
      s.sinceUs = nowUs;
    }
  }
  settle(s);
  if (s.used === 0 && s.remainder === 0) s.sinceUs = nowUs;
}

/** An empty bucket owes nothing. */
function settle(s: BucketState): void {
  if (s.used < 0) {
    s.used = 0;
    s.remainder = 0;
  }
}

function available(s: BucketState, p: BucketParams): number {
  return p.capacity - s.used - (s.remainder > 0 ? 1 : 0);
}

/** Time until `excess` thousandths and the remainder have drained; excess ≥ 0. With a limit of 0 nothing drains. */
function drainTime(s: BucketState, p: BucketParams, excess: number, nowUs: number): number {
  if (p.limit === 0) return CENTURY_US;
  if (p.interval) return s.sinceUs + Math.ceil(excess / p.limit) * p.period - nowUs;
  return evenDrainTime(p, excess, s.remainder);
}

function evenDrainTime(p: BucketParams, excess: number, rest: number): number {
  const whole = mulDiv(excess, p.period, p.limit);
  return whole + Math.ceil(((remainder[0] as number) + rest) / p.limit);
}

function timeUntil(s: BucketState, p: BucketParams, amount: number, nowUs: number): number {
  return drainTime(s, p, s.used + amount - p.capacity, nowUs);
}

function take(s: BucketState, p: BucketParams, amount: number): void {
  s.used = Math.min(s.used + amount, p.maximum);
}

/**
 * Starts are whole µs, or refills: the schedule goes on from there. What drains before the start, though less is in use by
 * then, is the caller's loss; it is returned in parts of a thousandth, `per` of them.
 */
function reserve(
  s: BucketState,
  p: BucketParams,
  amount: number,
  isQueue: boolean,
  delayUs: number,
  nowUs: number,
): number {
  const usedBefore = s.used;
  const remainderBefore = s.remainder;
  if (p.interval) {
    const left = levelAt(s, p, nowUs + delayUs, nowUs);
    s.used += amount - (left < 0 ? left : 0);
  } else {
    s.used = (isQueue ? amount : p.capacity) + mulDiv(delayUs, p.limit, p.period);
    s.remainder = remainder[0] as number;
  }
  return (s.used - usedBefore - amount) * s.per + s.remainder - remainderBefore;
}

function levelAt(s: BucketState, p: BucketParams, atUs: number, nowUs: number): number {
  if (p.interval) return s.used - Math.floor((atUs - s.sinceUs) / p.period) * p.limit;
  const drained = mulDiv(atUs - nowUs, p.limit, p.period);
  return s.used - drained - (s.remainder < (remainder[0] as number) ? 1 : 0);
}

function giveBack(s: BucketState, _p: BucketParams, amount: number, extra = 0): void {
  const whole = Math.floor(extra / s.per);
  s.used -= amount + whole;
  s.remainder -= extra - whole * s.per;
  if (s.remainder < 0) {
    s.used -= 1;
    s.remainder += s.per;
  }
  settle(s);
}

function timeToFull(s: BucketState, p: BucketParams, nowUs: number): number {
  if (s.used === 0 && s.remainder === 0) return 0;
  return drainTime(s, p, s.used, nowUs);
}

/** The fast path answers with the remainder, and only for an even drain; the mirror of `available`. */
function timeToFullAt(p: BucketParams, left: number, rest: number): number {
  return evenDrainTime(p, p.capacity - left - (rest > 0 ? 1 : 0), rest);
}

function clear(s: BucketState): void {
  s.used = 0;
  s.remainder = 0;
  s.per = 1;
  s.sinceUs = 0;
  s.lastUs = 0;
  s.blockedUntilUs = 0;
  s.expiryMs = 0;
  s.reservations = undefined;
}

export const bucketKernel: Kernel<BucketParams, BucketState> = {
  tag: "b",
  fresh: () => ({ used: 0, remainder: 0, per: 1, sinceUs: 0, ...FRESH }),
  clear,
  advance,
  available,
  timeUntil,
  take,
  reserve,
  levelAt,
  giveBack,
  timeToFull,
  timeToFullAt,
  copy: (s) => ({ ...s }),
  numbers: (p) => [p.limit, p.period, p.capacity, p.maximum, modeOf(p)],
  isOneValue: true,
  row: {
    width: 4,
    load(s, row, at) {
      s.used = row[at] as number;
      s.remainder = row[at + 1] as number;
      s.per = row[at + 2] as number;
      s.sinceUs = row[at + 3] as number;
    },
    save(s, row, at) {
      row[at] = s.used;
      row[at + 1] = s.remainder;
      row[at + 2] = s.per;
      row[at + 3] = s.sinceUs;
    },
  },
  consumeRow: consumeFromBucket,
};

/** How quota comes back and is waited for, as the script reads it. */
function modeOf({ interval, reservations, capacity }: BucketParams): number {
  if (capacity === UNLIMITED) return 3;
  if (interval) return 1;
  return reservations.strict ? 2 : 0;
}

/** How quota comes back: evenly, in whole intervals, or evenly to calls that queue for it one by one. */
export type BucketMode = "continuous" | "interval" | "queue";

/** Compiles a bucket of `capacity` that gets `limit` (thousandths) back each `periodUs`. */
export function bucketParams(
  limit: number,
  periodUs: number,
  capacity: number,
  mode: BucketMode,
): BucketParams {
  const maximum = limit === 0 ? MAX_USED : Math.min(MAX_USED, mulDiv(CENTURY_US, limit, periodUs));
  if (mode === "interval") {
    // A start is rounded up to a refill, and what is in use with it.
    const reservations = { strict: false, alone: true, maximum: maximum - limit };
    return { limit, period: periodUs, per: 1, capacity, maximum, interval: true, reservations };
  }
  const reservations = { strict: mode === "queue", alone: false, maximum };
  const divisor = greatestCommonDivisor(limit, periodUs);
  const period = periodUs / divisor;
  const lowest = { limit: limit / divisor, period, per: period };
  return { ...lowest, capacity, maximum, interval: false, reservations };
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** The usual consume on a row of memory: what fast.lua does, for one call. */
import { EXACT } from "../../core/mul-div.js";
import { admitted, expiryAfter, unchanged } from "../decide.js";
import {
  type Params,
  ROW_EXPIRY,
  ROW_KERNEL,
  ROW_LAST,
  type RowAnswer,
  UNLIMITED,
} from "../kernel.js";

/** What a bucket's parameters have for it. */
export interface DrainParams extends Params {
  /** `limit` thousandths come back each `period` µs; reduced to lowest terms unless `interval`. */
  readonly limit: number;
  readonly period: number;
  /** Denominator of the remainder: the reduced period, or 1 if refills are whole. */
  readonly per: number;
  /** The largest debt: what takes a hundred years to drain, if it drains. */
  readonly maximum: number;
  readonly interval: boolean;
}

/** Positions in the row, as the kernel packs it. */
const USED = ROW_KERNEL;
const REMAINDER = ROW_KERNEL + 1;
const PER = ROW_KERNEL + 2;
const SINCE = ROW_KERNEL + 3;

export function consumeFromBucket(
  row: Float64Array,
  at: number,
  p: DrainParams,
  cost: number,
  rawUs: number,
  answer: RowAnswer,
): boolean {
  const { limit, period, capacity, maximum } = p;
  if (p.interval || limit === 0 || capacity === UNLIMITED) return false;
  let used = row[at + USED] as number;
  let remainder = row[at + REMAINDER] as number;
  const lastUs = row[at + ROW_LAST] as number;
  const expiryMs = row[at + ROW_EXPIRY] as number;
  if (row[at + PER] !== period || row[at + SINCE] !== lastUs) return false;
  if (lastUs > rawUs || rawUs >= expiryMs * 1e3 || used > maximum) return false;
  // `advance`, with mulDiv's first three lines.
  const direct = (rawUs - lastUs) * limit;
  if (direct >= EXACT) return false;
  const drained = Math.floor(direct / period);
  used -= drained;
  remainder -= direct - drained * period;
  if (remainder < 0) {
    used -= 1;
    remainder += period;
  }
  if (used < 0) {
    used = 0;
    remainder = 0;
  }

  let available = capacity - used - (remainder > 0 ? 1 : 0);
  if (cost > available || cost === 0) {
    if (cost > capacity || used * period >= EXACT) return false;
    const waitUs = cost > available ? drainTime(p, used + cost - capacity, remainder) : 0;
    const resetUs = drainTime(p, used, remainder);
    return unchanged(answer, available, waitUs, resetUs, expiryMs * 1e3 - rawUs);
  }

  // `take`.
  used += cost;
  available -= cost;
  if (used * period >= EXACT) return false;
  const resetUs = drainTime(p, used, remainder);
  row[at + ROW_EXPIRY] = expiryAfter(expiryMs, rawUs + resetUs, resetUs);
  row[at + ROW_LAST] = rawUs;
  row[at + USED] = used;
  row[at + REMAINDER] = remainder;
  row[at + SINCE] = rawUs;
  return admitted(answer, available, resetUs);
}

/** The kernel's function of this name, for an exact excess · period. */
function drainTime({ limit, period }: DrainParams, excess: number, rest: number): number {
  const direct = excess * period;
  const whole = Math.floor(direct / limit);
  return whole + Math.ceil((direct - whole * limit + rest) / limit);
}

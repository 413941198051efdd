/** The usual consume on a row of memory: what fast.lua does, for one call. */
import { mulDiv, remainder } from "../../core/mul-div.js";
import { admitted, expiryAfter, unchanged } from "../decide.js";
import { type Params, ROW_EXPIRY, ROW_KERNEL, ROW_LAST, type RowAnswer } from "../kernel.js";

export interface SlidingWindowParams extends Params {
  readonly window: number;
}

/** Positions in the row, as the kernel packs it. */
const PREVIOUS = ROW_KERNEL;
const CURRENT = ROW_KERNEL + 1;
const END = ROW_KERNEL + 2;
const WIDTH = ROW_KERNEL + 3;

export function consumeFromSlidingWindow(
  row: Float64Array,
  at: number,
  { capacity, window }: SlidingWindowParams,
  cost: number,
  rawUs: number,
  answer: RowAnswer,
): boolean {
  let previous = row[at + PREVIOUS] as number;
  let current = row[at + CURRENT] as number;
  let endUs = row[at + END] as number;
  let widthUs = row[at + WIDTH] as number;
  const expiryMs = row[at + ROW_EXPIRY] as number;
  if ((row[at + ROW_LAST] as number) > rawUs || rawUs >= expiryMs * 1e3) return false;
  // `advance`.
  if (rawUs >= endUs) {
    const passed = Math.floor((rawUs - endUs) / window);
    previous = passed === 0 ? current : 0;
    current = 0;
    endUs += (passed + 1) * window;
    widthUs = window;
  }
  if (previous === 0 && current === 0) {
    endUs = (Math.floor(rawUs / window) + 1) * window;
    widthUs = window;
  }

  // `weighted` and `available`.
  const share = mulDiv(previous, endUs - rawUs, widthUs);
  let available = capacity - current - ((remainder[0] as number) > 0 ? share + 1 : share);
  if (cost > available || cost === 0) {
    if (cost > capacity) return false;
    let resetUs = 0;
    if (current > 0) resetUs = endUs + window - rawUs;
    else if (previous > 0) resetUs = endUs - rawUs;
    let waitUs = 0;
    if (cost > available) {
      // `timeUntil`.
      const target = capacity - current - cost;
      if (target >= 0) waitUs = endUs - rawUs - mulDiv(target, widthUs, previous);
      else waitUs = endUs + window - rawUs - mulDiv(capacity - cost, window, current);
    }
    return unchanged(answer, available, waitUs, resetUs, expiryMs * 1e3 - rawUs);
  }

  // `take`.
  available -= cost;
  const soonestUs = endUs + window;
  row[at + ROW_EXPIRY] = expiryAfter(expiryMs, soonestUs, soonestUs - rawUs);
  row[at + ROW_LAST] = rawUs;
  row[at + PREVIOUS] = previous;
  row[at + CURRENT] = current + cost;
  row[at + END] = endUs;
  row[at + WIDTH] = widthUs;
  return admitted(answer, available, soonestUs - rawUs);
}

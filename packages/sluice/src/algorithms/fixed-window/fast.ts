/** The usual consume on a row of memory: what fast.lua does, for one call. */
import { admitted, expiryAfter, unchanged } from "../decide.js";
import {
  type Kernel,
  type Params,
  ROW_EXPIRY,
  ROW_KERNEL,
  ROW_LAST,
  type State,
} from "../kernel.js";

/** Where a window that opens at `nowUs` ends, or 0 if the parameters do not reach that far. */
export type EndOf<P> = (p: P, nowUs: number) => number;

/** Positions in the row, as the kernel packs it. */
const COUNT = ROW_KERNEL;
const END = ROW_KERNEL + 1;

/** Of windows that end where `endOf` says. */
export function consumeFromWindow<P extends Params, S extends State>(
  endOf: EndOf<P>,
): NonNullable<Kernel<P, S>["consumeRow"]> {
  return (row, at, p, cost, rawUs, answer) => {
    let count = row[at + COUNT] as number;
    let endUs = row[at + END] as number;
    const expiryMs = row[at + ROW_EXPIRY] as number;
    if ((row[at + ROW_LAST] as number) > rawUs || rawUs >= expiryMs * 1e3) return false;
    // `advance`.
    if (rawUs >= endUs) count = 0;

    let available = p.capacity - count;
    if (cost > available || cost === 0) {
      if (cost > p.capacity) return false;
      // `timeToFull` and `timeUntil`.
      const resetUs = count === 0 ? 0 : endUs - rawUs;
      const waitUs = cost > available ? endUs - rawUs : 0;
      return unchanged(answer, available, waitUs, resetUs, expiryMs * 1e3 - rawUs);
    }

    // `take`.
    available -= cost;
    if (count === 0) {
      endUs = endOf(p, rawUs);
      // `ready`.
      if (endUs === 0) return false;
    }
    // `timeToFull`.
    const resetUs = endUs - rawUs;
    row[at + ROW_EXPIRY] = expiryAfter(expiryMs, endUs, resetUs);
    row[at + ROW_LAST] = rawUs;
    row[at + COUNT] = count + cost;
    row[at + END] = endUs;
    return admitted(answer, available, resetUs);
  };
}

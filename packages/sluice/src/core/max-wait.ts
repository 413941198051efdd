/** The option `maxWait`: how long a caller is ready to wait. */
import { type Duration, toMicroseconds } from "./duration.js";

/** Milliseconds; Infinity if nothing, or Infinity, is given. */
export function maxWaitMs(maxWait: Duration | undefined, option = "maxWait"): number {
  const isEndless = maxWait === undefined || maxWait === Number.POSITIVE_INFINITY;
  return isEndless ? Number.POSITIVE_INFINITY : toMicroseconds(option, maxWait) / 1e3;
}

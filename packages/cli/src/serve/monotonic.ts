/** Time that only goes on, for the log. */

/** Milliseconds since some moment. */
export function monotonicNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

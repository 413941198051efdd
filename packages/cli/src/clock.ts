/** Spans of time in this process: only this file touches performance; the time of day is the library's `systemClock`. */

/** Monotonic milliseconds. */
export function monotonicMs(): number {
  return performance.now();
}

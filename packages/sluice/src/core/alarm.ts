/** Timers by any clock: the machine's own timers, or the `sleep` of a test's clock. */
import { type Clock, startTimer, usesMachineTimers } from "./clock.js";

/**
 * Calls `fire` once after `ms`, never if that is Infinity; the returned function cancels it. With `keepsAlive` the process
 * does not exit before it fires.
 */
export function setAlarm(
  clock: Clock,
  ms: number,
  keepsAlive: boolean,
  fire: () => void,
): () => void {
  if (ms === Number.POSITIVE_INFINITY) return () => {};
  if (!usesMachineTimers(clock)) {
    const controller = new AbortController();
    clock.sleep(ms, controller.signal).then(fire, () => {});
    return () => {
      controller.abort();
    };
  }
  const timer = startTimer(Math.max(0, ms), fire);
  if (!keepsAlive) timer.unref();
  return () => {
    timer.cancel();
  };
}

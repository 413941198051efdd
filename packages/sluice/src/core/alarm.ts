/** Timers by any clock: the machine's runs on its own timers, another one by its `sleep`. */
import { type Clock, monotonicMs, startTimer, systemClock, type Timer } from "./clock.js";

/** No timer of the machine is longer. */
const LONGEST_MS = 2 ** 31 - 1;

/** Milliseconds that never go back, where the clock is the machine's. */
export function monotonicOf(clock: Clock): () => number {
  return clock === systemClock ? monotonicMs : () => clock.nowUs() / 1e3;
}

/** Calls `fire` once after `ms`; returns what prevents that. `keepsAlive`: whether the process waits for it. */
export function setAlarm(
  clock: Clock,
  ms: number,
  keepsAlive: boolean,
  fire: () => void,
): () => void {
  if (ms === Number.POSITIVE_INFINITY) return () => {};
  if (clock !== systemClock) {
    const controller = new AbortController();
    clock.sleep(ms, controller.signal).then(fire, () => {});
    return () => {
      controller.abort();
    };
  }
  let timer: Timer;
  const start = (leftMs: number): void => {
    const now = Math.min(leftMs, LONGEST_MS);
    timer = startTimer(now, () => {
      if (leftMs > now) start(leftMs - now);
      else fire();
    });
    if (!keepsAlive) timer.unref();
  };
  start(Math.max(0, ms));
  return () => {
    timer.cancel();
  };
}

/** How long the event loop of this process was late, and when: no deadline can be kept better than that. */
import { monotonicMs, startTimer, type Timer } from "../../../src/core/clock.js";

/** Delays shorter than this stay unseen; timers count whole milliseconds too. */
const RESOLUTION_MS = 5;

export interface LagProbe {
  /** The most that the loop can have delayed something due in this span, in ms. */
  lateMs(startMs: number, endMs: number): number;
  /** The longest single delay. */
  readonly worstMs: number;
  /** Ends the measurement with one last look, so that the latest delay is in it. */
  stop(): Promise<void>;
}

export function startLagProbe(): LagProbe {
  /** When the loop was seen, and the sum of all its delays until then. */
  const ticks: { readonly atMs: number; readonly sumMs: number }[] = [];
  let sumMs = 0;
  let worstMs = 0;
  let timer: Timer;
  let last: (() => void) | undefined;
  const arm = (): void => {
    const dueMs = monotonicMs() + RESOLUTION_MS;
    timer = startTimer(RESOLUTION_MS, () => {
      const atMs = monotonicMs();
      const lateMs = Math.max(0, atMs - dueMs);
      worstMs = Math.max(worstMs, lateMs);
      sumMs += lateMs;
      ticks.push({ atMs, sumMs });
      if (last === undefined) arm();
      else last();
    });
    timer.ref();
  };
  arm();

  /** The first tick at or after `ms`. */
  const tickFrom = (ms: number): number => {
    let low = 0;
    let high = ticks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((ticks[middle]?.atMs ?? Infinity) < ms) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  return {
    lateMs: (startMs, endMs) => {
      const before = ticks[tickFrom(startMs) - 1]?.sumMs ?? 0;
      const after = ticks[Math.min(tickFrom(endMs), ticks.length - 1)]?.sumMs ?? 0;
      return after - before + 2 * RESOLUTION_MS;
    },
    get worstMs() {
      return worstMs;
    },
    stop: () =>
      new Promise((resolve) => {
        last = resolve;
      }),
  };
}

/** What became of those who waited for quota or for a permit, in numbers. */
import { monotonicMs } from "../core/clock.js";
import { Histogram, type HistogramStats, WAIT_BOUNDS_MS } from "../core/histogram.js";
import { type Events, nextSpan, type WaitBegun, type WaitEnded } from "./events.js";

/** Waits since the start, in milliseconds. */
export interface WaitStats {
  /** How many wait now. */
  readonly waiting: number;
  /** How long those waited who started, were refused, or failed (aborted, closed, no store). */
  readonly waitedMs: Readonly<Record<WaitEnded["outcome"], HistogramStats>>;
  /** How much later than promised those started who did. */
  readonly lateMs: HistogramStats;
}

export class WaitCounts {
  #waiting = 0;
  readonly #waitedMs = {
    started: new Histogram(WAIT_BOUNDS_MS),
    refused: new Histogram(WAIT_BOUNDS_MS),
    failed: new Histogram(WAIT_BOUNDS_MS),
  } as const satisfies Record<WaitEnded["outcome"], Histogram>;
  readonly #lateMs = new Histogram(WAIT_BOUNDS_MS);

  begun(): void {
    this.#waiting += 1;
  }

  ended(outcome: WaitEnded["outcome"], waitedMs: number, lateMs: number): void {
    this.#waiting -= 1;
    this.#waitedMs[outcome].observe(waitedMs);
    if (outcome === "started") this.#lateMs.observe(lateMs);
  }

  stats(): WaitStats {
    const { started, refused, failed } = this.#waitedMs;
    return {
      waiting: this.#waiting,
      waitedMs: { started: started.stats(), refused: refused.stats(), failed: failed.stats() },
      lateMs: this.#lateMs.stats(),
    };
  }
}

/** A wait that is under way. */
interface Wait {
  /** Its number, as events name it. */
  readonly number: number;
  /** Counts its end and lets the listeners know. */
  readonly end: (ending: Pick<WaitEnded, "outcome" | "lateMs" | "error" | "aborted">) => void;
}

/** Counts a wait and lets the listeners know that it begins. */
export function beginWait(
  events: Events,
  counts: WaitCounts,
  about: Omit<WaitBegun, "wait">,
): Wait {
  const number = nextSpan();
  const wait = { wait: number, ...about };
  const beganMs = monotonicMs();
  counts.begun();
  events.to.waitBegun?.(wait);
  const end: Wait["end"] = (ending) => {
    const waitedMs = monotonicMs() - beganMs;
    counts.ended(ending.outcome, waitedMs, ending.lateMs);
    events.to.waitEnded?.({ ...wait, waitedMs, ...ending });
  };
  return { number, end };
}

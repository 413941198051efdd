/** One time for a store's clock and for this process's monotonic clock, which moves only when told to. */
import { onTestFinished, vi } from "vitest";
import { ManualClock } from "../../src/testing/index.js";

export interface ModelTime {
  readonly clock: ManualClock;
  /** Lets `ms` pass on both clocks. */
  readonly pass: (ms: number) => void;
}

/** `restore` ends it; `stopTime` does so when the test is over. */
export function modelTime(): ModelTime & { readonly restore: () => void } {
  const clock = new ManualClock();
  const startUs = clock.nowUs();
  const now = vi.spyOn(performance, "now");
  now.mockImplementation(() => 5000 + (clock.nowUs() - startUs) / 1e3);
  return {
    clock,
    pass: (ms) => {
      clock.advance(ms);
    },
    restore: () => {
      now.mockRestore();
    },
  };
}

export function stopTime(): ModelTime {
  const { restore, ...time } = modelTime();
  onTestFinished(restore);
  return time;
}

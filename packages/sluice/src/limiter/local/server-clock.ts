/** The server's time while the server is away: as it was last heard, and the monotonic time since. */
import { type Clock, monotonicMs, systemClock } from "../../core/clock.js";

export class ServerClock implements Clock {
  /** What the server's clock showed at its last answer, and when that was first heard: set by `noteServerTime`. */
  heardUs: number | undefined;
  heardAtMs = 0;

  /** The machine's time if the server was never heard. */
  nowUs(): number {
    if (this.heardUs === undefined) return systemClock.nowUs();
    return Math.floor(this.heardUs + (monotonicMs() - this.heardAtMs) * 1e3);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal);
  }
}

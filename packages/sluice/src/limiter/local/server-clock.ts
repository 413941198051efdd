/** The server's time while the server is away: as it was last heard, and the monotonic time since. */
import { type Clock, monotonicMs, systemClock } from "../../core/clock.js";

export class ServerClock implements Clock {
  /** What the server's clock showed at its last answer, and when that was first heard. */
  #heardUs: number | undefined;
  #heardAtMs = 0;

  /** The server answered at `nowUs` of its clock. Calls that went together say the same time, and all at once. */
  hear(nowUs: number): void {
    if (nowUs === this.#heardUs) return;
    this.#heardUs = nowUs;
    this.#heardAtMs = monotonicMs();
  }

  /** The machine's time if the server was never heard. */
  nowUs(): number {
    if (this.#heardUs === undefined) return systemClock.nowUs();
    return Math.floor(this.#heardUs + (monotonicMs() - this.#heardAtMs) * 1e3);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal);
  }
}

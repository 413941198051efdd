/** The server's time while the server is away: as it was last heard, and the monotonic time since. */
import { type Clock, monotonicMs, systemClock } from "../../core/clock.js";

export class ServerClock implements Clock {
  /** The server's time less the monotonic one, at its last answer. */
  #aheadUs: number | undefined;

  /** The server has just answered, and its clock showed `nowUs`. */
  heard(nowUs: number): void {
    this.#aheadUs = nowUs - monotonicMs() * 1e3;
  }

  /** The machine's time where the server was never heard. */
  nowUs(): number {
    if (this.#aheadUs === undefined) return systemClock.nowUs();
    return Math.floor(this.#aheadUs + monotonicMs() * 1e3);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal);
  }
}

/** A clock that moves only when told to. */
import { type Clock, whenSettled } from "../core/clock.js";
import { toMicroseconds } from "../core/duration.js";
import { checkNumber } from "../core/options.js";

interface Sleeper {
  readonly wakeAtUs: number;
  wake(): void;
}

/** 1 January 2030: any recent moment does; a round one reads well in failures. */
const DEFAULT_START_MS = 1_893_456_000_000;

/**
 * A clock for tests: time stands still until `advance` or `set`.
 *
 * @throws InvalidOptionError
 * @example
 * import { MemoryStore, RateLimiter, tokenBucket } from "sluice";
 * import { ManualClock } from "sluice/testing";
 * const clock = new ManualClock();
 * const store = new MemoryStore({ clock });
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1s" }), store });
 * limiter.consumeSync("k");
 * console.log(limiter.consumeSync("k").allowed); // false
 * clock.advance(1000);
 * console.log(limiter.consumeSync("k").allowed); // true
 */
export class ManualClock implements Clock {
  #nowUs: number;
  #sleepers: Sleeper[] = [];

  /** Starts at `startMs` milliseconds since the Unix epoch. */
  constructor(startMs: number = DEFAULT_START_MS) {
    this.#nowUs = Math.round(checkNumber("startMs", startMs) * 1e3);
  }

  /**
   * The time: integer µs since the Unix epoch.
   *
   * @throws nothing
   * @example
   * import { ManualClock } from "sluice/testing";
   * const clock = new ManualClock(0);
   * clock.advance(1.5);
   * console.log(clock.nowUs()); // 1500
   */
  nowUs(): number {
    return this.#nowUs;
  }

  /**
   * Moves on by `ms` (fractions down to a µs) and wakes who slept until then, in order.
   *
   * @throws InvalidOptionError for what is no finite number
   * @example
   * import { ManualClock } from "sluice/testing";
   * const clock = new ManualClock(0);
   * clock.advance(1000);
   * console.log(clock.nowUs()); // 1000000
   */
  advance(ms: number): void {
    this.set(this.#nowUs + toMicroseconds("ms", ms));
  }

  /**
   * Moves on by `ms` from one sleep's end to the next, and lets run what was waiting for it before it goes on: sleeps that
   * begin on the way and end in time end, each at its own time. Resolves when that has settled.
   *
   * @throws InvalidOptionError for what is no finite number
   * @example
   * import { ManualClock } from "sluice/testing";
   * const clock = new ManualClock(0);
   * const ended: number[] = [];
   * void clock.sleep(100).then(() => ended.push(clock.nowUs()));
   * await clock.advanceAsync(1000);
   * console.log(ended); // [ 100000 ]
   */
  async advanceAsync(ms: number): Promise<void> {
    const endUs = this.#nowUs + toMicroseconds("ms", ms);
    await whenSettled();
    for (;;) {
      const nextUs = this.#sleepers.reduce((us, { wakeAtUs }) => Math.min(us, wakeAtUs), endUs);
      this.set(Math.max(nextUs, this.#nowUs));
      await whenSettled();
      if (this.#nowUs >= endUs && !this.#sleepers.some(({ wakeAtUs }) => wakeAtUs <= endUs)) return;
    }
  }

  /**
   * Jumps to `nowUs`, backwards too.
   *
   * @throws InvalidOptionError for what is no finite number
   * @example
   * import { ManualClock } from "sluice/testing";
   * const clock = new ManualClock(0);
   * clock.set(5_000_000);
   * console.log(clock.nowUs()); // 5000000
   */
  set(nowUs: number): void {
    checkNumber("nowUs", nowUs);
    this.#nowUs = nowUs;
    const due = this.#sleepers.filter(({ wakeAtUs }) => wakeAtUs <= nowUs);
    this.#sleepers = this.#sleepers.filter(({ wakeAtUs }) => wakeAtUs > nowUs);
    for (const sleeper of due.sort((a, b) => a.wakeAtUs - b.wakeAtUs)) sleeper.wake();
  }

  /**
   * Resolves when the clock was moved on by `ms`, or rejects with the signal's reason.
   *
   * @throws the signal's reason
   * @example
   * import { ManualClock } from "sluice/testing";
   * const clock = new ManualClock(0);
   * const slept = clock.sleep(100).then(() => "woke");
   * clock.advance(100);
   * console.log(await slept); // woke
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const sleeper: Sleeper = {
        wakeAtUs: this.#nowUs + Math.ceil(ms * 1e3),
        wake: () => {
          signal?.removeEventListener("abort", abort);
          resolve();
        },
      };
      const abort = (): void => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal?.reason as Error);
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#sleepers.push(sleeper);
    });
  }
}

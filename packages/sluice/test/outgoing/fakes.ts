/** The least that stands for a limiter and a semaphore, and remembers what was asked of it. */
import type { OutgoingLimiter, OutgoingSemaphore } from "../../src/outgoing/options.js";

interface AcquireOptions {
  readonly cost?: number;
  readonly maxWait?: number | string;
  readonly signal?: AbortSignal;
}

/** Grants at once unless told to refuse or to wait. */
export class FakeLimiter implements OutgoingLimiter {
  readonly acquired: { key: string; cost?: number; maxWait?: number | string }[] = [];
  readonly blocked: [key: string, ms: unknown, options: unknown][] = [];
  /** Called before each grant. */
  before: (signal?: AbortSignal) => Promise<void> = async () => {};

  async acquire(key: string, { signal, ...options }: AcquireOptions = {}): Promise<void> {
    this.acquired.push({ key, ...options });
    await this.before(signal);
  }

  async block(key: string, duration: number | string, options?: object): Promise<void> {
    this.blocked.push([key, duration, options]);
  }
}

/** First come, first served, in one process. */
export class FakeSemaphore implements OutgoingSemaphore {
  held = 0;
  peak = 0;
  grants = 0;
  readonly #limit: number;
  readonly #queue: (() => void)[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  async acquire(
    _key: string,
    { signal }: AcquireOptions = {},
  ): Promise<{ release(): Promise<void> }> {
    if (this.held >= this.#limit) await this.#turn(signal);
    this.held += 1;
    this.grants += 1;
    this.peak = Math.max(this.peak, this.held);
    let isHeld = true;
    return {
      release: async () => {
        if (!isHeld) throw new Error("released twice");
        isHeld = false;
        this.held -= 1;
        this.#queue.shift()?.();
      },
    };
  }

  #turn(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push(resolve);
      signal?.addEventListener("abort", () => {
        // It may have had its turn: then it is not in the queue, and nobody else may lose his place.
        const at = this.#queue.indexOf(resolve);
        if (at >= 0) this.#queue.splice(at, 1);
        reject(signal.reason as Error);
      });
    });
  }
}

/** What undici's handlers may pause, go on with and end: here nothing is under way. */
export const IDLE_CONTROLLER = {
  aborted: false,
  reason: null,
  paused: false,
  pause() {},
  resume() {},
  abort() {},
};

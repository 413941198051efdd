/**
 * One deadline for many calls. All waits of a limiter are equally long, so they end in the order they
 * began: a queue and one timer do, where a timer a call would cost more than the call.
 */
import { monotonicMs, startTimer, type Timer } from "../core/clock.js";

interface Pending {
  readonly endsAtMs: number;
  settled: boolean;
  expire(): void;
}

export class Deadlines {
  readonly timeoutMs: number;
  #pending: Pending[] = [];
  /** Entries of `#pending` before this one are done with. */
  #first = 0;
  #unsettled = 0;
  #timer: Timer | undefined;

  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs;
  }

  /**
   * Settles as `work` does if that is in time, else rejects with what `late` makes. A result that comes
   * later is dropped, whether good or bad.
   */
  run<T>(work: Promise<T>, late: () => Error, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const settle = (finish: () => void): void => {
        if (pending.settled) return;
        pending.settled = true;
        signal?.removeEventListener("abort", abort);
        this.#unsettled -= 1;
        if (this.#unsettled === 0) this.#rest();
        finish();
      };
      const abort = (): void => {
        settle(() => {
          reject(signal?.reason as Error);
        });
      };
      const pending: Pending = {
        endsAtMs: monotonicMs() + this.timeoutMs,
        settled: false,
        expire: () => {
          settle(() => {
            reject(late());
          });
        },
      };
      this.#pending.push(pending);
      this.#unsettled += 1;
      this.#arm();
      signal?.addEventListener("abort", abort, { once: true });
      work.then(
        (value) => {
          settle(() => {
            resolve(value);
          });
        },
        (error: Error) => {
          settle(() => {
            reject(error);
          });
        },
      );
    });
  }

  /** While something is pending the timer keeps the process alive, so that every call is answered. */
  #arm(): void {
    if (this.#timer === undefined) this.#start(this.timeoutMs);
    else if (this.#unsettled === 1) this.#timer.ref();
  }

  #start(ms: number): void {
    this.#timer = startTimer(ms, () => {
      this.#timer = undefined;
      this.#expireDue();
    });
    if (this.#unsettled === 0) this.#timer.unref();
  }

  #rest(): void {
    this.#timer?.unref();
    this.#pending = [];
    this.#first = 0;
  }

  #expireDue(): void {
    const nowMs = monotonicMs();
    for (
      let head = this.#pending[this.#first];
      head !== undefined;
      head = this.#pending[this.#first]
    ) {
      if (!head.settled && head.endsAtMs > nowMs) break;
      this.#first += 1;
      head.expire();
    }
    const next = this.#pending[this.#first];
    this.#pending.splice(0, this.#first);
    this.#first = 0;
    if (next === undefined) this.#rest();
    else this.#start(Math.max(1, next.endsAtMs - nowMs));
  }
}

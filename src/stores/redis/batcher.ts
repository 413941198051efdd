/**
 * Calls that wait together travel together. An idle store sends at the end of the current tick; a busy
 * one collects while a few batches are under way, so that the batch grows with the load and nobody
 * waits for a timer. Calls keep the order in which they arrived.
 */
import { atEndOfTick, monotonicMs } from "../../core/clock.js";
import type { Answer, Done, StoreCall } from "../store.js";

/** Sends calls and settles each by its place. Resolves when all are settled; never rejects. */
export type SendBatch = (
  calls: readonly StoreCall[],
  settle: (i: number, outcome: Answer | Error) => void,
) => Promise<void>;

export interface BatcherOptions {
  /** Calls sent together at most. */
  readonly maxBatch: number;
  /** Batches under way at once at most. */
  readonly maxInFlight: number;
}

interface Waiting {
  readonly call: StoreCall;
  readonly done: Done;
}

/** A batch without an answer for so long no longer holds others back: its connection may be dead. */
const STALLED_MS = 1000;

export class Batcher {
  readonly #send: SendBatch;
  readonly #options: BatcherOptions;
  #queue: Waiting[] = [];
  /** When each batch under way was sent. */
  readonly #sentAtMs = new Set<{ readonly ms: number }>();
  #scheduled = false;

  constructor(send: SendBatch, options: BatcherOptions) {
    this.#send = send;
    this.#options = options;
  }

  /** Calls that wait to be sent. */
  get waiting(): number {
    return this.#queue.length;
  }

  add(call: StoreCall, done: Done): void {
    this.#queue.push({ call, done });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0 || this.#isBusy()) return;
    this.#scheduled = true;
    atEndOfTick(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #isBusy(): boolean {
    if (this.#sentAtMs.size < this.#options.maxInFlight) return false;
    const stalledSinceMs = monotonicMs() - STALLED_MS;
    for (const sent of this.#sentAtMs) {
      if (sent.ms > stalledSinceMs) break;
      this.#sentAtMs.delete(sent);
    }
    return this.#sentAtMs.size >= this.#options.maxInFlight;
  }

  #flush(): void {
    while (this.#queue.length > 0 && !this.#isBusy()) this.#sendNext();
  }

  #sendNext(): void {
    const batch = this.#queue
      .splice(0, this.#options.maxBatch)
      .filter(({ call }) => call.abandoned !== true);
    if (batch.length === 0) return;
    const sent = { ms: monotonicMs() };
    this.#sentAtMs.add(sent);
    const calls = batch.map(({ call }) => call);
    void this.#send(calls, (i, outcome) => batch[i]?.done(outcome)).finally(() => {
      this.#sentAtMs.delete(sent);
      this.#schedule();
    });
  }
}

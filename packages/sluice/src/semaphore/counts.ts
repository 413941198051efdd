/** How much of a semaphore is in use, and what became of its permits in this process, in numbers. */
import { Histogram, type HistogramStats, WAIT_BOUNDS_MS } from "../core/histogram.js";
import { WaitCounts, type WaitStats } from "../events/wait-counts.js";

/** How much of one key is in use. */
export interface SemaphoreUsage {
  /** The limit in force: the option, or what setLimit stored for the key. */
  readonly limit: number;
  /** Weight of all held permits, also of those that were handed over and are not confirmed yet. */
  readonly held: number;
  /** How many are in line. */
  readonly waiting: number;
}

/** A semaphore's permits since it was made, by this process. */
export interface SemaphoreStats {
  /** Its keyspace: namespace and name. */
  readonly semaphore: string;
  /** The option; a key may have been given another one by setLimit. */
  readonly limit: number;
  /** The weight that this process holds now, over all keys. */
  readonly held: number;
  /** Permits since the start. */
  readonly granted: number;
  /** Of them: ended by their lease, or by the end of the semaphore, and not by their holders. */
  readonly lost: number;
  /** How long each was held that is not held any more, in ms. */
  readonly heldMs: HistogramStats;
  /** Of acquire, withPermit and wrap. */
  readonly waits: WaitStats;
}

export class SemaphoreCounts {
  #held = 0;
  #granted = 0;
  lost = 0;
  readonly #heldMs = new Histogram(WAIT_BOUNDS_MS);
  readonly waits = new WaitCounts();

  begun(weight: number): void {
    this.#granted += 1;
    this.#held += weight;
  }

  ended(weight: number, heldMs: number): void {
    this.#held -= weight;
    this.#heldMs.observe(heldMs);
  }

  stats(semaphore: string, limit: number): SemaphoreStats {
    return {
      semaphore,
      limit,
      held: this.#held,
      granted: this.#granted,
      lost: this.lost,
      heldMs: this.#heldMs.stats(),
      waits: this.waits.stats(),
    };
  }
}

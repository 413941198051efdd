/** How a measure is spread: how many observations each bucket got, and their sum. Nothing is allocated to observe. */

/** A snapshot of a histogram. */
export interface HistogramStats {
  /** Upper bounds of the buckets, rising; an extra bucket holds what exceeds the last one. */
  readonly bounds: readonly number[];
  /** Observations a bucket: one more than there are bounds. An observation just at a bound is within it. */
  readonly counts: readonly number[];
  /** Of all that was observed. */
  readonly sum: number;
  /** How many were observed. */
  readonly count: number;
}

export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  /** `bounds` rise. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    let i = 0;
    while (i < this.#bounds.length && value > (this.#bounds[i] as number)) i += 1;
    this.#counts[i] = (this.#counts[i] as number) + 1;
    this.#sum += value;
    this.#count += 1;
  }

  stats(): HistogramStats {
    return {
      bounds: this.#bounds,
      counts: [...this.#counts],
      sum: this.#sum,
      count: this.#count,
    };
  }
}

/** Milliseconds: from the round trip to a server on the same machine to longer than any caller waits. */
export const DURATION_BOUNDS_MS: readonly number[] = Object.freeze([
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000,
]);
/** Milliseconds: from an unnoticeable wait to minutes. */
export const WAIT_BOUNDS_MS: readonly number[] = Object.freeze([
  1, 5, 10, 50, 100, 500, 1000, 5000, 10_000, 60_000, 300_000,
]);
/** Calls that were sent together. */
export const BATCH_BOUNDS: readonly number[] = Object.freeze([1, 4, 16, 64, 256, 1024]);

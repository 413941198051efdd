/** A tree that answers for the largest value from a rank on, for the bound of buckets refilled all at once. */

/** A value and its origin. */
export interface Maximum {
  readonly value: bigint;
  readonly index: number;
}

const EMPTY = -1;

/** The largest value added at a rank or above: a Fenwick tree over ranks counted from the top. */
export class SuffixMaximum {
  readonly #values: BigInt64Array | bigint[];
  readonly #indices: Int32Array;

  /** `fits`: every value is less than 2^63 either way, so that none needs V8's heap. */
  constructor(ranks: number, fits: boolean) {
    this.#values = fits
      ? new BigInt64Array(ranks + 1)
      : Array.from({ length: ranks + 1 }, () => 0n);
    this.#indices = new Int32Array(ranks + 1).fill(EMPTY);
  }

  add(rank: number, value: bigint, index: number): void {
    const size = this.#indices.length;
    for (let node = size - 1 - rank; node < size; node += node & -node) {
      if (this.#indices[node] !== EMPTY && value <= (this.#values[node] as bigint)) continue;
      this.#values[node] = value;
      this.#indices[node] = index;
    }
  }

  /** The largest value whose rank is `rank` or above, if any was added there. */
  maximumFrom(rank: number): Maximum | undefined {
    let best: Maximum | undefined;
    for (let node = this.#indices.length - 1 - rank; node > 0; node -= node & -node) {
      const index = this.#indices[node] as number;
      if (index === EMPTY) continue;
      const value = this.#values[node] as bigint;
      if (best === undefined || value > best.value) best = { value, index };
    }
    return best;
  }
}

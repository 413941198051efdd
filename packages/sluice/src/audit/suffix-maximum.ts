/** A tree that answers for the largest value from a rank on, for the bound of buckets refilled all at once. */

/** A value and where it came from. */
export interface Maximum {
  readonly value: bigint;
  readonly index: number;
}

/** The largest value added at a rank or above: a Fenwick tree over ranks counted from the top. */
export class SuffixMaximum {
  readonly #nodes: (Maximum | undefined)[];

  constructor(ranks: number) {
    this.#nodes = Array.from({ length: ranks + 1 });
  }

  add(rank: number, value: bigint, index: number): void {
    const size = this.#nodes.length;
    for (let node = size - 1 - rank; node < size; node += node & -node) {
      const known = this.#nodes[node];
      if (known === undefined || value > known.value) this.#nodes[node] = { value, index };
    }
  }

  /** The largest value whose rank is `rank` or above, if any was added there. */
  maximumFrom(rank: number): Maximum | undefined {
    let best: Maximum | undefined;
    for (let node = this.#nodes.length - 1 - rank; node > 0; node -= node & -node) {
      const known = this.#nodes[node];
      if (known !== undefined && (best === undefined || known.value > best.value)) best = known;
    }
    return best;
  }
}

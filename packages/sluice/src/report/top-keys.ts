/**
 * The keys that were counted most, in bounded memory: Space-Saving. With n keys and N counts, a key's count is too high by
 * N / n at most, and never too low; every key with more than N / n counts is held.
 */

/** A key, or its id, with its count: at least `count - error`, at most `count`. */
export interface CountedKey {
  readonly key: string;
  readonly count: number;
  readonly error: number;
}

interface Entry {
  key: string;
  count: number;
  error: number;
  /** Its index in the heap. */
  place: number;
}

export class TopKeys {
  readonly #most: number;
  readonly #entries = new Map<string, Entry>();
  /** The least count comes first: it gives way to a key that is not held. */
  readonly #heap: Entry[] = [];

  /** Holds at most `most` keys. */
  constructor(most: number) {
    this.#most = most;
  }

  /** What a key that is not held was counted at most. */
  get floor(): number {
    return this.#heap.length < this.#most ? 0 : (this.#heap[0]?.count ?? 0);
  }

  get isEmpty(): boolean {
    return this.#heap.length === 0;
  }

  add(key: string): void {
    const entry = this.#entries.get(key) ?? this.#enter(key);
    entry.count += 1;
    this.#sink(entry);
  }

  /** The highest count first. */
  entries(): readonly CountedKey[] {
    return this.#heap
      .map(({ key, count, error }) => ({ key, count, error }))
      .sort((a, b) => b.count - a.count);
  }

  #enter(key: string): Entry {
    let entry: Entry | undefined;
    if (this.#heap.length < this.#most) {
      entry = { key, count: 0, error: 0, place: this.#heap.length };
      this.#heap.push(entry);
      this.#rise(entry);
    } else {
      entry = this.#heap[0] as Entry;
      this.#entries.delete(entry.key);
      entry.key = key;
      entry.error = entry.count;
    }
    this.#entries.set(key, entry);
    return entry;
  }

  #rise(entry: Entry): void {
    const heap = this.#heap;
    while (entry.place > 0) {
      const above = heap[(entry.place - 1) >> 1] as Entry;
      if (above.count <= entry.count) return;
      this.#swap(entry, above);
    }
  }

  #sink(entry: Entry): void {
    const heap = this.#heap;
    for (;;) {
      const left = heap[2 * entry.place + 1];
      if (left === undefined) return;
      const right = heap[2 * entry.place + 2];
      const below = right !== undefined && right.count < left.count ? right : left;
      if (below.count >= entry.count) return;
      this.#swap(entry, below);
    }
  }

  #swap(a: Entry, b: Entry): void {
    const { place } = a;
    a.place = b.place;
    b.place = place;
    this.#heap[a.place] = a;
    this.#heap[b.place] = b;
  }
}

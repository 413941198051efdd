/** When units may have been given back that no log shows: then a key may have more left than its records explain. */

/** Clocks of stores differ, and lines are not strictly in the order of time: so far around a gap it may be. */
const MARGIN_US = 60e6;

interface Doubt {
  /** Undefined: any limiter that gives units back. */
  readonly limiter: string | undefined;
  readonly fromUs: number;
  readonly toUs: number;
}

export class Doubts {
  /** Limiters whose callers give units back, by any record. */
  readonly givesBack = new Set<string>();
  readonly #all: Doubt[] = [];
  /** Stores in memory that were full, and have forgotten keys. */
  readonly #stores = new Set<string>();

  add(limiter: string | undefined, fromUs: number, toUs: number): void {
    if (limiter !== undefined) this.givesBack.add(limiter);
    this.#all.push({ limiter, fromUs: fromUs - MARGIN_US, toUs: toUs + MARGIN_US });
  }

  addStore(store: string): void {
    this.#stores.add(store);
  }

  forgets(store: string | undefined): boolean {
    return store !== undefined && this.#stores.has(store);
  }

  /** The times of doubt about a limiter, apart from each other and in order. */
  of(limiter: string): readonly Pick<Doubt, "fromUs" | "toUs">[] {
    if (!this.givesBack.has(limiter)) return [];
    const merged: { fromUs: number; toUs: number }[] = [];
    const own = this.#all.filter((doubt) => (doubt.limiter ?? limiter) === limiter);
    for (const { fromUs, toUs } of own.sort((a, b) => a.fromUs - b.fromUs)) {
      const last = merged.at(-1);
      if (last !== undefined && fromUs <= last.toUs) last.toUs = Math.max(last.toUs, toUs);
      else merged.push({ fromUs, toUs });
    }
    return merged;
  }
}

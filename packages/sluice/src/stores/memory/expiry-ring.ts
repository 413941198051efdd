/**
 * Which slots may have expired: a ring of buckets of one second each, without a timer a key. A slot whose expiry moved
 * later is moved only when its old bucket comes up, so that a hot key costs nothing here. Slots are small integers; the
 * lists are doubly linked through arrays.
 */

const TICK_US = 1e6;
/** Seventeen minutes ahead; what expires later waits in the farthest bucket and is looked at again. */
const BUCKETS = 1024;
const NONE = -1;
const INITIAL_SLOTS = 64;

/** The links of lists of slots, each slot in one list at most: many rings share them. */
export class SlotLinks {
  next: Int32Array<ArrayBuffer> = new Int32Array(INITIAL_SLOTS);
  /** The slot before this one, or -2 - bucket for the first of a bucket. */
  previous: Int32Array<ArrayBuffer> = new Int32Array(INITIAL_SLOTS);

  cover(slot: number): void {
    if (slot < this.next.length) return;
    this.next = doubled(this.next);
    this.previous = doubled(this.previous);
  }
}

export class ExpiryRing {
  readonly #links: SlotLinks;
  #heads: Int32Array<ArrayBuffer> | undefined;
  /** Every bucket before this tick has been emptied. */
  #tick = 0;
  /** No bucket before this tick holds anything, so that a full store does not look at them for each new key. */
  #soonestTick = 0;
  #size = 0;

  constructor(links = new SlotLinks()) {
    this.#links = links;
  }

  get size(): number {
    return this.#size;
  }

  add(slot: number, atUs: number, nowUs: number): void {
    this.#links.cover(slot);
    this.#heads ??= new Int32Array(BUCKETS).fill(NONE);
    const nowTick = Math.floor(nowUs / TICK_US);
    // A clock that went far back must not leave slots in buckets that come round only much later.
    if (this.#size === 0 || this.#tick > nowTick + BUCKETS) {
      this.#tick = nowTick;
      this.#soonestTick = this.#size === 0 ? Number.POSITIVE_INFINITY : nowTick;
    }
    const tick = Math.max(
      this.#tick,
      Math.min(Math.floor(atUs / TICK_US), this.#tick + BUCKETS - 1),
    );
    if (tick < this.#soonestTick) this.#soonestTick = tick;
    const bucket = tick % BUCKETS;
    const { next, previous } = this.#links;
    const head = this.#heads[bucket] as number;
    next[slot] = head;
    previous[slot] = -2 - bucket;
    if (head !== NONE) previous[head] = slot;
    this.#heads[bucket] = slot;
    this.#size += 1;
  }

  remove(slot: number): void {
    const { next, previous } = this.#links;
    const after = next[slot] as number;
    const before = previous[slot] as number;
    if (before >= 0) next[before] = after;
    else (this.#heads as Int32Array)[-2 - before] = after;
    if (after !== NONE) previous[after] = before;
    this.#size -= 1;
  }

  /** Takes out and returns a slot of a bucket that has passed, or -1; walks at most `steps` buckets. */
  takeDue(nowUs: number, steps: number): number {
    const heads = this.#heads;
    const last = Math.floor(nowUs / TICK_US);
    if (heads === undefined || this.#size === 0) {
      this.#tick = Math.max(this.#tick, last);
      return NONE;
    }
    // After a round of idleness every bucket has passed once: no need to walk the years between.
    if (last - this.#tick > BUCKETS) this.#tick = last - BUCKETS;
    for (let step = 0; step < steps && this.#tick < last; step++) {
      const slot = heads[this.#tick % BUCKETS] as number;
      if (slot !== NONE) {
        this.remove(slot);
        return slot;
      }
      this.#tick += 1;
    }
    return NONE;
  }

  /** Whether a bucket that has passed may still hold something. */
  isBehind(nowUs: number): boolean {
    return this.#size > 0 && this.#tick < Math.floor(nowUs / TICK_US);
  }

  /** The end of the nearest bucket that holds anything; Infinity for the farthest, which also holds what comes later. */
  soonestEndUs(): number {
    const first = this.#first();
    return first < this.#tick + BUCKETS - 1 ? (first + 1) * TICK_US : Number.POSITIVE_INFINITY;
  }

  /** Up to `count` slots of the buckets nearest to expiry, nearest bucket first. */
  *soonest(count: number): Generator<number> {
    let left = Math.min(count, this.#size);
    for (let tick = this.#first(); left > 0 && tick < this.#tick + BUCKETS; tick++) {
      let slot = this.#heads?.[tick % BUCKETS] ?? NONE;
      for (; slot !== NONE && left > 0; left--) {
        yield slot;
        slot = this.#links.next[slot] as number;
      }
    }
  }

  /** The tick of the nearest bucket that holds anything. */
  #first(): number {
    const heads = this.#heads;
    if (heads === undefined || this.#size === 0) return Number.POSITIVE_INFINITY;
    let tick = Math.max(this.#soonestTick, this.#tick);
    while (tick < this.#tick + BUCKETS && heads[tick % BUCKETS] === NONE) tick += 1;
    this.#soonestTick = tick;
    return tick;
  }
}

function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(array.length * 2);
  grown.set(array);
  return grown;
}

/**
 * Which slots may have expired: a ring of buckets of one second each, without a timer a key.
 * A slot whose expiry moved later is found in its old bucket and put where it belongs then, so that a
 * hot key costs nothing here. Slots are small integers; the lists are doubly linked through arrays.
 */

const TICK_US = 1e6;
/** Seventeen minutes ahead; what expires later waits in the farthest bucket and is looked at again. */
const BUCKETS = 1024;
const NONE = -1;
const INITIAL_SLOTS = 64;

export class ExpiryRing {
  readonly #heads = new Int32Array(BUCKETS).fill(NONE);
  #next: Int32Array<ArrayBuffer> = new Int32Array(INITIAL_SLOTS);
  /** The slot before this one, or -2 - bucket for the first of a bucket. */
  #previous: Int32Array<ArrayBuffer> = new Int32Array(INITIAL_SLOTS);
  /** Every bucket before this tick has been emptied. */
  #tick = 0;

  /** Whether `nextDue` may find anything at `nowUs`. */
  isBehind(nowUs: number): boolean {
    return nowUs >= (this.#tick + 1) * TICK_US;
  }

  add(slot: number, expiresAtUs: number, nowUs: number): void {
    if (slot >= this.#next.length) this.#grow();
    const nowTick = Math.floor(nowUs / TICK_US);
    // A clock that went far back must not leave slots in buckets that come round only much later.
    if (this.#tick === 0 || this.#tick > nowTick + BUCKETS) this.#tick = nowTick;
    const tick = Math.max(
      this.#tick,
      Math.min(Math.floor(expiresAtUs / TICK_US), this.#tick + BUCKETS - 1),
    );
    const bucket = tick % BUCKETS;
    const head = this.#heads[bucket] as number;
    this.#next[slot] = head;
    this.#previous[slot] = -2 - bucket;
    if (head !== NONE) this.#previous[head] = slot;
    this.#heads[bucket] = slot;
  }

  remove(slot: number): void {
    const next = this.#next[slot] as number;
    const previous = this.#previous[slot] as number;
    if (previous >= 0) this.#next[previous] = next;
    else this.#heads[-2 - previous] = next;
    if (next !== NONE) this.#previous[next] = previous;
  }

  /** Takes out and returns a slot of a bucket that has passed, or -1; walks at most `steps` buckets. */
  takeDue(nowUs: number, steps: number): number {
    const last = Math.floor(nowUs / TICK_US);
    // After a round of idleness every bucket has passed once: no need to walk the years between.
    if (last - this.#tick > BUCKETS) this.#tick = last - BUCKETS;
    for (let step = 0; step < steps && this.#tick < last; step++) {
      const slot = this.#heads[this.#tick % BUCKETS] as number;
      if (slot !== NONE) {
        this.remove(slot);
        return slot;
      }
      this.#tick += 1;
    }
    return NONE;
  }

  /** Up to `count` slots of the buckets nearest to expiry, nearest bucket first. */
  *soonest(count: number): Generator<number> {
    let left = count;
    for (let i = 0; i < BUCKETS && left > 0; i++) {
      let slot = this.#heads[(this.#tick + i) % BUCKETS] as number;
      for (; slot !== NONE && left > 0; left--) {
        yield slot;
        slot = this.#next[slot] as number;
      }
    }
  }

  #grow(): void {
    this.#next = doubled(this.#next);
    this.#previous = doubled(this.#previous);
  }
}

function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(array.length * 2);
  grown.set(array);
  return grown;
}

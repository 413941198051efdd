/** Counts how attempts came out before and after a change of limits, in numbers a key that lie outside V8's heap. */

/** Two answers to the same attempts. */
export interface Comparison {
  /** Calls that were replayed. */
  readonly attempts: number;
  /** Keys that they were made on. */
  readonly keys: number;
  /** Calls that were denied when they were logged. */
  readonly deniedBefore: number;
  /** Calls that the other limits deny. */
  readonly deniedAfter: number;
  /** Keys of which the limits deny at least one attempt: those that they touch. */
  readonly keysDeniedBefore: number;
  /** The same of the other limits. */
  readonly keysDeniedAfter: number;
  /** Allowed before, and denied after. */
  readonly newlyDenied: number;
  /** Calls that were denied and would be allowed. */
  readonly newlyAllowed: number;
  /** Keys with calls that would be newly denied. */
  readonly keysNewlyDenied: number;
  /** Keys with calls that would be newly allowed. */
  readonly keysNewlyAllowed: number;
}

/** How the attempts of one key came out. */
export interface KeyCounts {
  /** The number of the key. */
  readonly key: number;
  /** Calls that were replayed. */
  readonly attempts: number;
  /** Calls that were denied when they were logged. */
  readonly deniedBefore: number;
  /** Calls that the other limits deny. */
  readonly deniedAfter: number;
  /** Calls that were allowed and would be denied. */
  readonly newlyDenied: number;
  /** Calls that were denied and would be allowed. */
  readonly newlyAllowed: number;
}

const ATTEMPTS = 0;
const BEFORE = 1;
const AFTER = 2;
const NEWLY_DENIED = 3;
const NEWLY_ALLOWED = 4;
const WIDTH = 5;

/** What is counted of every key. */
export class CountsByKey {
  #counts: Uint32Array;

  /** As many keys as are known; more make it grow. */
  constructor(keys: number) {
    this.#counts = new Uint32Array(keys * WIDTH);
  }

  add(key: number, wasDenied: boolean, isDenied: boolean): void {
    this.#increase(key, ATTEMPTS);
    if (wasDenied) this.#increase(key, BEFORE);
    if (isDenied) this.#increase(key, AFTER);
    if (isDenied && !wasDenied) this.#increase(key, NEWLY_DENIED);
    if (wasDenied && !isDenied) this.#increase(key, NEWLY_ALLOWED);
  }

  /** The sums over all keys. */
  get comparison(): Comparison {
    const sums = [0, 0, 0, 0, 0];
    const keys = [0, 0, 0, 0, 0];
    this.#counts.forEach((count, place) => {
      const field = place % WIDTH;
      sums[field] = (sums[field] as number) + count;
      keys[field] = (keys[field] as number) + Number(count > 0);
    });
    const [attempts, deniedBefore, deniedAfter, newlyDenied, newlyAllowed] =
      sums as unknown as Five;
    const [all, before, after, keysNewlyDenied, keysNewlyAllowed] = keys as unknown as Five;
    return {
      attempts,
      keys: all,
      deniedBefore,
      deniedAfter,
      keysDeniedBefore: before,
      keysDeniedAfter: after,
      newlyDenied,
      newlyAllowed,
      keysNewlyDenied,
      keysNewlyAllowed,
    };
  }

  /** Keys of which an attempt came out otherwise: those with most newly denied ones first, at most `count` of them. */
  changed(count: number): readonly KeyCounts[] {
    const first: KeyCounts[] = [];
    for (let key = 0; key < this.#counts.length / WIDTH; key++) {
      const counts = this.#of(key);
      if (counts.newlyDenied + counts.newlyAllowed === 0) continue;
      const last = first.at(-1);
      if (first.length === count && last !== undefined && comesBefore(last, counts)) continue;
      const at = first.findIndex((other) => comesBefore(counts, other));
      first.splice(at < 0 ? first.length : at, 0, counts);
      if (first.length > count) first.pop();
    }
    return first;
  }

  #of(key: number): KeyCounts {
    const at = key * WIDTH;
    const own = this.#counts.subarray(at, at + WIDTH);
    const [attempts, deniedBefore, deniedAfter, newlyDenied, newlyAllowed] = own as unknown as Five;
    return { key, attempts, deniedBefore, deniedAfter, newlyDenied, newlyAllowed };
  }

  #increase(key: number, field: number): void {
    const at = key * WIDTH + field;
    if (at >= this.#counts.length) {
      const grown = new Uint32Array(Math.max(2 * this.#counts.length, (key + 1) * WIDTH));
      grown.set(this.#counts);
      this.#counts = grown;
    }
    this.#counts[at] = (this.#counts[at] as number) + 1;
  }
}

type Five = readonly [number, number, number, number, number];

function comesBefore(a: KeyCounts, b: KeyCounts): boolean {
  if (a.newlyDenied !== b.newlyDenied) return a.newlyDenied > b.newlyDenied;
  if (a.newlyAllowed !== b.newlyAllowed) return a.newlyAllowed > b.newlyAllowed;
  return a.key < b.key;
}

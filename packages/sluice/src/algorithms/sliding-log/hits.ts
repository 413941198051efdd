/** The hits of a sliding log in memory: a queue of (time, running sum), read by sequence number. */

/** What the kernel asks of a log; in Redis a hash answers the same questions. */
export interface HitLog {
  /** Time of hit `seq`. */
  at(seq: number): number;
  /** Running sum of all admitted amounts up to and with hit `seq`, modulo SUM_MODULUS. */
  sum(seq: number): number;
  set(seq: number, atUs: number, sum: number): void;
  /** Forgets hits from `from` up to but without `to`. */
  drop(from: number, to: number): void;
  copy(): HitLog;
  /** Hits that take memory, forgotten ones included. */
  readonly stored: number;
}

/** Keeps [first, ...] in two plain arrays and closes the gap at their head now and then. */
export class ArrayHitLog implements HitLog {
  #times: number[];
  #sums: number[];
  /** Sequence number of element 0. */
  #base: number;

  constructor(times: number[] = [], sums: number[] = [], base = 0) {
    this.#times = times;
    this.#sums = sums;
    this.#base = base;
  }

  get stored(): number {
    return this.#times.length;
  }

  at(seq: number): number {
    return this.#times[seq - this.#base] as number;
  }

  sum(seq: number): number {
    return this.#sums[seq - this.#base] as number;
  }

  set(seq: number, atUs: number, sum: number): void {
    if (this.#times.length === 0) this.#base = seq;
    this.#times[seq - this.#base] = atUs;
    this.#sums[seq - this.#base] = sum;
  }

  drop(_from: number, to: number): void {
    const dead = to - this.#base;
    // Shifting each time would cost O(n) a call; once half is dead it costs O(1) a hit.
    if (dead * 2 < this.#times.length) return;
    this.#times.splice(0, dead);
    this.#sums.splice(0, dead);
    this.#base = to;
  }

  copy(): HitLog {
    return new ArrayHitLog([...this.#times], [...this.#sums], this.#base);
  }
}

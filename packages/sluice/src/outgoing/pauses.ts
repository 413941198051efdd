/** Until when servers asked this process to leave a key alone: each question and each note costs constant time. */

/** More keys than this are not remembered: keys may come from URLs, which may come from anyone. */
const MAX_KEYS = 10_000;

/** Others that are looked at with each new key: more than one, so that what is over goes faster than new ones come. */
const SWEPT_PER_KEY = 2;

export class Pauses {
  readonly #nowMs: () => number;
  readonly #untilMs = new Map<string, number>();
  /**
   * Goes round the keys, in the order in which they were learnt. It is kept, as a new one would have to step over all
   * the gaps that deleted keys leave at the front of a Map.
   */
  #hand: Iterator<string> | undefined;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** For tests. */
  get size(): number {
    return this.#untilMs.size;
  }

  /** Milliseconds until the pause of the key is over; 0 if there is none. */
  leftMs(key: string): number {
    const untilMs = this.#untilMs.get(key);
    if (untilMs === undefined) return 0;
    const leftMs = untilMs - this.#nowMs();
    if (leftMs > 0) return leftMs;
    this.#untilMs.delete(key);
    return 0;
  }

  /** Pauses the key for `ms` from now. Says whether that is longer than known before. */
  extend(key: string, ms: number): boolean {
    if (ms <= this.leftMs(key)) return false;
    if (!this.#untilMs.has(key)) this.#makeRoom();
    this.#untilMs.set(key, this.#nowMs() + ms);
    return true;
  }

  /** Forgets the ended ones among the next few; and one that has not ended, if there are too many. */
  #makeRoom(): void {
    let next: string | undefined;
    for (let swept = 0; swept < SWEPT_PER_KEY; swept += 1) {
      next = this.#next();
      if (next === undefined) return;
      this.leftMs(next);
    }
    if (next !== undefined && this.#untilMs.size >= MAX_KEYS) this.#untilMs.delete(next);
  }

  #next(): string | undefined {
    const next = this.#hand?.next();
    if (next !== undefined && next.done !== true) return next.value;
    this.#hand = this.#untilMs.keys();
    return this.#hand.next().value as string | undefined;
  }
}

/** Until when servers asked this process to leave a key alone. */

/** More keys than this are not remembered: keys may come from URLs, which may come from anyone. */
const MAX_KEYS = 10_000;

export class Pauses {
  readonly #nowMs: () => number;
  readonly #untilMs = new Map<string, number>();

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
    if (this.#untilMs.size >= MAX_KEYS && !this.#untilMs.has(key)) this.#makeRoom();
    this.#untilMs.set(key, this.#nowMs() + ms);
    return true;
  }

  /** Forgets what is over, or else the pause that was learnt first. */
  #makeRoom(): void {
    for (const key of this.#untilMs.keys()) this.leftMs(key);
    const [oldest] = this.#untilMs.keys();
    if (oldest !== undefined && this.#untilMs.size >= MAX_KEYS) this.#untilMs.delete(oldest);
  }
}

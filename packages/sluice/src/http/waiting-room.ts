/** How many requests of a gate may wait in line at once. */
export class WaitingRoom {
  readonly #most: number;
  #waiting = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Runs `wait`, unless too many are waiting: then undefined. */
  async during<T>(wait: () => Promise<T>): Promise<T | undefined> {
    if (this.#waiting >= this.#most) return undefined;
    this.#waiting += 1;
    try {
      return await wait();
    } finally {
      this.#waiting -= 1;
    }
  }
}

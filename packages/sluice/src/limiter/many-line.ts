/** The line in which calls of `consumeMany` wait for each other, so that no store has more under way than it answers in time. */
import { isSyncStore, type Store } from "../stores/store.js";

/** Debits of such calls that are under way at once: as many as a RedisStore has by default. */
export const MANY_DEBITS = 768;

interface Group {
  readonly debits: number;
  readonly go: () => void;
}

/** First come, first served; a group that is larger than all goes alone. */
class ManyLine {
  #underWay = 0;
  readonly #waiting: Group[] = [];

  /** Resolves when the group may go; undefined if it may at once. */
  enter(debits: number): Promise<void> | undefined {
    if (this.#waiting.length === 0 && this.#hasRoom(debits)) {
      this.#underWay += debits;
      return undefined;
    }
    return new Promise((go) => {
      this.#waiting.push({ debits, go });
    });
  }

  leave(debits: number): void {
    this.#underWay -= debits;
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined || !this.#hasRoom(next.debits)) return;
      this.#waiting.shift();
      this.#underWay += next.debits;
      next.go();
    }
  }

  #hasRoom(debits: number): boolean {
    return this.#underWay === 0 || this.#underWay + debits <= MANY_DEBITS;
  }
}

const lines = new WeakMap<Store, ManyLine>();

/**
 * Runs `work` when as many debits fit under way beside those of all other calls of `consumeMany` on this store: what waits
 * in this process is no evidence against the store. `hasWaited` says that time has gone by. A store in the process has no
 * line.
 */
export async function inLine<T>(
  store: Store,
  debits: number,
  work: (hasWaited: boolean) => T | Promise<T>,
): Promise<T> {
  if (isSyncStore(store)) return work(false);
  let line = lines.get(store);
  if (line === undefined) {
    line = new ManyLine();
    lines.set(store, line);
  }
  const turn = line.enter(debits);
  try {
    // A group that need not wait begins in this tick: a refund later in the tick must come after it.
    if (turn !== undefined) await turn;
    return await work(turn !== undefined);
  } finally {
    line.leave(debits);
  }
}

/**
 * Calls that give up at one moment, as by one signal, leave the line from its end, so that each gives back all it took.
 * From the front each would give back nothing, because of the calls behind, which leave too.
 */

/** Some of those who end together await more on the way here than others. */
const TURNS = 16;

interface Leaving {
  readonly sold: number;
  readonly leave: () => void;
}

const leaving = new WeakMap<object, Leaving[]>();

/** Runs `leave` behind all of this moment on the same store that had sold more with their receipts. */
export function lastFirst<T>(store: object, sold: number, leave: () => Promise<T>): Promise<T> {
  // Each leaves in a separate reaction, and so in its own caller's asynchronous context.
  const turn = new Promise<void>((resolve) => {
    const own = { sold, leave: resolve };
    const others = leaving.get(store);
    if (others !== undefined) {
      others.push(own);
      return;
    }
    const all = [own];
    leaving.set(store, all);
    inTurns(TURNS, () => {
      leaving.delete(store);
      all.sort((a, b) => b.sold - a.sold);
      for (const each of all) each.leave();
    });
  });
  return turn.then(leave);
}

function inTurns(turns: number, end: () => void): void {
  if (turns === 0) end();
  else {
    queueMicrotask(() => {
      inTurns(turns - 1, end);
    });
  }
}

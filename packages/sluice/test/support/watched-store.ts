/** Passes calls on to a store, and tells what it sees of them. */
import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate as turn } from "node:timers/promises";
import type { Clock, Keyspace, Store } from "../../src/index.js";
import type { Done, StoreCall } from "../../src/stores/store.js";

/** Is told a call when it is submitted; what it returns is told what became of it. */
export type Watch = (call: StoreCall) => Done;

/** What is seen of a call whoever watches. */
export interface SeenCall {
  /** The store keys that it is about. */
  readonly keys: readonly string[];
  /** When it was decided; undefined before, and where it was not. */
  atUs: number | undefined;
}

/** The store keys that a call is about. */
export function keysOf({ debits }: StoreCall): readonly string[] {
  return debits.map(({ keyspace, id }) => `${keyspace.name}:${id}`);
}

/** One for all stores: each of them would be asked at every promise. */
const watches = new AsyncLocalStorage<Watch>();

export class WatchedStore implements Store {
  readonly external = true;
  /** Takes what is seen of the calls that are submitted now, in their order. */
  seen: SeenCall[] = [];
  readonly #store: Store;
  /** Watched calls without an outcome. */
  #open = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  get clock(): Clock | undefined {
    return this.#store.clock;
  }

  /** Shows `watch` every call that `work` makes, then and later. */
  watching<T>(watch: Watch, work: () => T): T {
    return watches.run(watch, work);
  }

  /** Resolves when every watched call has its outcome, whoever still waits for it. */
  async settled(): Promise<void> {
    while (this.#open > 0) await turn();
  }

  open(...args: Parameters<Store["open"]>): Keyspace {
    return this.#store.open(...args);
  }

  claim(...args: Parameters<Store["claim"]>): void {
    this.#store.claim(...args);
  }

  release(...args: Parameters<Store["release"]>): void {
    this.#store.release(...args);
  }

  submit(call: StoreCall, done: Done): void {
    const seen: SeenCall = { keys: keysOf(call), atUs: undefined };
    this.seen.push(seen);
    const watch = watches.getStore();
    const answered = watch?.({ ...call, debits: call.debits.map((debit) => ({ ...debit })) });
    if (watch !== undefined) this.#open += 1;
    this.#store.submit(call, (outcome) => {
      if (!(outcome instanceof Error)) seen.atUs = outcome.nowUs;
      answered?.(outcome);
      // What this leads to is part of the same work, whoever brought the answer.
      if (watch === undefined) done(outcome);
      else {
        watches.run(watch, done, outcome);
        this.#open -= 1;
      }
    });
  }

  async close(): Promise<void> {}
}

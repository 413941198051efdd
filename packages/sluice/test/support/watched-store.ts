/** Passes calls on to a store, and tells what it sees of them. */
import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate as turn } from "node:timers/promises";
import type { Clock, Keyspace, Store } from "../../src/index.js";
import type { Done, StoreCall } from "../../src/stores/store.js";

/** Is told a call when it is submitted; what it returns is told what became of it. */
export type Watch = (call: StoreCall) => Done;

/** One for all stores: each of them would be asked at every promise. */
const watches = new AsyncLocalStorage<Watch>();

export class WatchedStore implements Store {
  readonly external = true;
  /** Takes the times at which the calls that are submitted now are decided, in their order. */
  times: (number | undefined)[] = [];
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
    const { times } = this;
    const at = times.push(undefined) - 1;
    const watch = watches.getStore();
    const answered = watch?.({ ...call, debits: call.debits.map((debit) => ({ ...debit })) });
    if (watch !== undefined) this.#open += 1;
    this.#store.submit(call, (outcome) => {
      if (!(outcome instanceof Error)) times[at] = outcome.nowUs;
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

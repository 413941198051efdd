/** A store as if outside the process, which can be gone: it answers nothing but errors then. */
import { MemoryStore } from "../../stores/memory/memory-store.js";
import type { Done, Keyspace, Store, StoreCall } from "../../stores/store.js";

export class GoneStore implements Store {
  readonly external = true;
  isGone = true;
  /** How many calls it was asked to decide. */
  calls = 0;
  readonly #store = new MemoryStore();

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
    this.calls += 1;
    if (this.isGone) done(new Error("the store is gone"));
    else this.#store.submit(call, done);
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

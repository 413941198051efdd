/** A store as if outside the process whose calls wait until the test settles them. */
import type { Keyspace, Store, StoreCall } from "../../src/index.js";
import type { Done } from "../../src/stores/store.js";
import { ManualClock, PureStore } from "../../src/testing/index.js";

export interface HeldCall {
  readonly call: StoreCall;
  /** Of the kernels, or the error given. */
  readonly settle: (outcome?: Error) => void;
}

export class HeldStore implements Store {
  readonly external = true;
  readonly held: HeldCall[] = [];
  /** Where each id is decided; set it for a store of several parts. */
  readonly partOf?: (call: StoreCall) => string;
  readonly #pure = new PureStore(new ManualClock());

  constructor(partOf?: (id: string) => string) {
    if (partOf !== undefined) this.partOf = ({ debits }) => partOf(debits[0]?.id ?? "");
  }

  open(...args: Parameters<PureStore["open"]>): Keyspace {
    return this.#pure.open(...args);
  }

  claim(...args: Parameters<PureStore["claim"]>): void {
    this.#pure.claim(...args);
  }

  release(...args: Parameters<PureStore["release"]>): void {
    this.#pure.release(...args);
  }

  submit(call: StoreCall, done: Done): void {
    const settle = (outcome?: Error): void => {
      if (outcome !== undefined) done(outcome);
      else this.#pure.submit(call, done);
    };
    this.held.push({ call, settle });
  }

  /** Settles all calls held, oldest first. */
  settleAll(outcome?: Error): void {
    for (const { settle } of this.held.splice(0)) settle(outcome);
  }

  async close(): Promise<void> {}
}

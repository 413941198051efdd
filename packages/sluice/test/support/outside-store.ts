/** A store as if outside the process: asynchronous, and able to fail in every way a server can. */
import type { Clock, Keyspace, Store, StoreCall } from "../../src/index.js";
import type { Done } from "../../src/stores/store.js";
import { ManualClock, PureStore } from "../../src/testing/index.js";

/** How it answers: as it should, with an error, or never. */
export type Behaviour = "answers" | "fails" | "hangs";

export class OutsideStore implements Store {
  readonly external = true;
  readonly pure: PureStore;
  behaviour: Behaviour = "answers";
  /** What a failing call fails with. */
  error = new Error("connection lost");
  /** What it was asked. */
  readonly calls: StoreCall[] = [];
  isClosed = false;

  constructor(clock: Clock = new ManualClock()) {
    this.pure = new PureStore(clock);
  }

  open(...args: Parameters<PureStore["open"]>): Keyspace {
    return this.pure.open(...args);
  }

  claim(...args: Parameters<PureStore["claim"]>): void {
    this.pure.claim(...args);
  }

  release(...args: Parameters<PureStore["release"]>): void {
    this.pure.release(...args);
  }

  submit(call: StoreCall, done: Done): void {
    this.calls.push(call);
    const { behaviour, error } = this;
    if (behaviour === "hangs") return;
    queueMicrotask(() => {
      if (behaviour === "fails") done(error);
      else this.pure.submit(call, done);
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

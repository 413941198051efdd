/** A store as if outside the process: asynchronous, and able to fail in every way a server can. */
import type { Answer, Clock, Space, Store, StoreCall } from "../../src/index.js";
import { ManualClock, PureStore } from "../../src/testing/index.js";

/** How it answers: a call's own error, no batch at all, an exception before any promise, or never. */
export type Behaviour = "answers" | "reports" | "rejects" | "throws" | "hangs";

export class OutsideStore implements Store {
  readonly external = true;
  readonly pure: PureStore;
  behaviour: Behaviour = "answers";
  /** What a failing call fails with. */
  error: unknown = new Error("connection lost");
  /** The batches it was sent. */
  readonly batches: (readonly StoreCall[])[] = [];
  isClosed = false;

  constructor(clock: Clock = new ManualClock()) {
    this.pure = new PureStore(clock);
  }

  open(...args: Parameters<PureStore["open"]>): Space {
    return this.pure.open(...args);
  }

  claim(space: string, fingerprint: string): void {
    this.pure.claim(space, fingerprint);
  }

  release(space: string, fingerprint: string): void {
    this.pure.release(space, fingerprint);
  }

  execute(calls: readonly StoreCall[]): Promise<readonly (Answer | Error)[]> {
    this.batches.push(calls);
    switch (this.behaviour) {
      case "answers":
        return this.pure.execute(calls);
      case "reports":
        return Promise.resolve(calls.map(() => this.error as Error));
      case "rejects":
        return Promise.reject(this.error as Error);
      case "throws":
        throw this.error as Error;
      case "hangs":
        return new Promise(() => {});
    }
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

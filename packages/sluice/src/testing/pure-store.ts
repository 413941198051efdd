/** A store that is nothing but the pure kernels and a Map: the yardstick of the conformance suite. */
import type { State } from "../algorithms/kernel.js";
import { LOG_FULL } from "../algorithms/kernel.js";
import { logFullError } from "../algorithms/rule.js";
import { step } from "../algorithms/step.js";
import { checkClock, type Clock } from "../core/clock.js";
import { Closing } from "../core/closing.js";
import { KeyspaceRegistry } from "../stores/keyspaces.js";
import {
  type StoreResult,
  type Done,
  type StoreCall,
  type Debit,
  submitSync,
  type SyncStore,
} from "../stores/store.js";

/** What a PureStore keeps of a key. */
export interface Kept {
  /** The state, as the kernel keeps it. */
  readonly state: State;
  /** When the state is the same as none, by the raw clock and the options of its last change. */
  readonly freshAtUs: number;
}

/** What a `PureStore` holds at one moment, by key. */
export type PureSnapshot = ReadonlyMap<string, Kept>;

/**
 * Unbounded and slow: nothing is ever swept, so that what another store forgets too early shows.
 *
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { ManualClock, PureStore } from "sluice/testing";
 * const store = new PureStore(new ManualClock());
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1s" }), store });
 * console.log(limiter.consumeSync("k").remaining); // 2
 */
export class PureStore extends KeyspaceRegistry implements SyncStore {
  /** Always false: it is inside the process. */
  readonly external = false;
  /** What decides on the time. */
  readonly clock: Clock;
  readonly #closing = new Closing("store");
  /** Fires when the store is closed, with a ClosedError. */
  readonly closed = this.#closing.signal;
  #states = new Map<string, Kept>();

  constructor(clock: Clock) {
    super((name) => ({ name }));
    this.clock = checkClock("clock", clock);
  }

  /** Decides a call. */
  executeSync(call: StoreCall): StoreResult {
    this.#closing.throwIfClosed();
    const { debits } = call;
    const nowUs = this.clock.nowUs();
    const before = debits.map((debit) => this.#states.get(keyOf(debit))?.state);
    const costs = debits.map(({ cost }) => cost);
    const rules = debits.map(({ rule }) => rule);
    const after = step(rules, before, { ...call, cost: costs, nowUs });
    if (after.readiness === LOG_FULL) throw logFullError(debits);
    if (after.states !== before) {
      debits.forEach((debit, i) => {
        const state = after.states[i];
        const resetUs = after.debits[i]?.resetUs ?? 0;
        if (state === undefined) this.#states.delete(keyOf(debit));
        else this.#states.set(keyOf(debit), { state, freshAtUs: nowUs + resetUs });
      });
    }
    return after;
  }

  /** Decides a call; `done` gets the result before it returns. */
  submit(call: StoreCall, done: Done): void {
    submitSync(this, call, done);
  }

  /**
   * Of each key: when its state is the same as none, and when it may be forgotten at the latest.
   *
   * @throws nothing
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { ManualClock, PureStore } from "sluice/testing";
   * const store = new PureStore(new ManualClock(0));
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }), store });
   * limiter.consumeSync("k");
   * console.log([...store.lifetimes().values()].map(({ freshAtUs }) => freshAtUs / 60e6)); // [ 20 ]
   */
  lifetimes(): ReadonlyMap<string, { readonly freshAtUs: number; readonly expiresAtUs: number }> {
    return new Map(
      [...this.#states].map(([key, { state, freshAtUs }]) => [
        key,
        { freshAtUs, expiresAtUs: state.expiryMs * 1e3 },
      ]),
    );
  }

  /**
   * For `restore`: going back to a moment tries out what else could have happened after it.
   *
   * @throws nothing
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { ManualClock, PureStore } from "sluice/testing";
   * const store = new PureStore(new ManualClock(0));
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }), store });
   * limiter.consumeSync("k");
   * const before = store.snapshot();
   * limiter.consumeSync("k");
   * store.restore(before);
   * console.log(limiter.consumeSync("k").remaining); // 1
   */
  snapshot(): PureSnapshot {
    return new Map(this.#states);
  }

  /**
   * Goes back to a snapshot.
   *
   * @throws nothing
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { ManualClock, PureStore } from "sluice/testing";
   * const store = new PureStore(new ManualClock(0));
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }), store });
   * limiter.consumeSync("k");
   * const before = store.snapshot();
   * limiter.consumeSync("k");
   * store.restore(before);
   * console.log(limiter.consumeSync("k").remaining); // 1
   */
  restore(snapshot: PureSnapshot): void {
    this.#states = new Map(snapshot);
  }

  /**
   * Later calls get a ClosedError.
   *
   * @throws nothing
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { ManualClock, PureStore } from "sluice/testing";
   * const store = new PureStore(new ManualClock(0));
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }), store });
   * limiter.consumeSync("k");
   * await store.close();
   * console.log(store.closed.aborted); // true
   */
  close(): Promise<void> {
    return this.#closing.end(async () => {});
  }
}

const keyOf = ({ keyspace, id }: Debit): string => `${keyspace.name}:{${id}}`;

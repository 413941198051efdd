/**
 * The memory in which a process decides while its store is away: one for each store, shared by all limiters of the store,
 * and kept from outage to outage. So each process admits at most what the policies admit, in any number of outages.
 */
import { VERBS } from "../../algorithms/decide.js";
import { MemoryStore } from "../../stores/memory/memory-store.js";
import { type Outcome, type Store, type StoreCall, submitSync } from "../../stores/store.js";
import { ServerClock } from "./server-clock.js";

/** Keys that an outage may fill the memory with, for each store. */
const MAX_KEYS = 100_000;

const locals = new WeakMap<Store, LocalStore>();

/** The memory that all limiters of `store` share. */
export function localStoreOf(store: Store): LocalStore {
  let local = locals.get(store);
  if (local === undefined) {
    local = new LocalStore(store);
    locals.set(store, local);
  }
  return local;
}

export class LocalStore {
  /** The server's, as it was last heard. */
  readonly serverClock = new ServerClock();
  readonly #testClock: Store["clock"];
  /** Made at the first need: most processes never meet an outage. */
  #memory: MemoryStore | undefined;

  constructor({ clock }: Pick<Store, "clock">) {
    this.#testClock = clock;
  }

  /** Keys held. */
  get size(): number {
    return this.#memory?.size ?? 0;
  }

  /** Decides a call of the store's limiters; an error if it cannot. */
  decide(call: StoreCall): Outcome {
    this.#memory ??= new MemoryStore({
      clock: this.#testClock ?? this.serverClock,
      maxKeys: MAX_KEYS,
    });
    const memory = this.#memory;
    const debits = call.debits.map((debit) => {
      return { ...debit, keyspace: memory.open(debit.keyspace.name, debit.rule.kernel) };
    });
    let outcome: Outcome | undefined;
    submitSync(memory, { ...call, debits }, (decided) => {
      outcome = decided;
    });
    return outcome as Outcome;
  }

  /** Follows what this process does to a key in the store, whether or not the store is there: see block. */
  follow(call: StoreCall): void {
    const blocks = call.verb === VERBS.block || call.verb === VERBS.extendBlock;
    if (blocks || this.#memory !== undefined) this.decide(call);
  }
}

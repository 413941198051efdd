/** The type of the store that a limiter or a semaphore has, by the type of its option `store`. */
import type { MemoryStore } from "./memory/memory-store.js";
import type { Store } from "./store.js";

/** A store that was passed in is itself; without one there is a MemoryStore. */
export type StoreOf<S extends Store | undefined> = S extends Store ? S : MemoryStore;

/** Limits how many hold a permit at once, across all processes that share a store: what it can do, and how it is made. */
import type { SlotOption } from "../core/key.js";
import type { Events } from "../events/events.js";
import type { MemoryStore } from "../stores/memory/memory-store.js";
import type { StoreOf } from "../stores/store-of.js";
import type { Store, SyncStore } from "../stores/store.js";
import type { SemaphoreStats, SemaphoreUsage } from "./counts.js";
import type { SemaphoreListing } from "./members.js";
import type { AcquireOptions, SemaphoreOptions, TryAcquireOptions } from "./options.js";
import type { Permit } from "./permit.js";
import { SemaphoreClass } from "./semaphore-class.js";
import type { SemaphoreWrapOptions } from "./wrap.js";

/**
 * A semaphore on a store of type `S`. A key is any well-formed text of 1 to 4,096 bytes of UTF-8; weights and limits are
 * whole numbers from 1 to 1e9. Every verb rejects with a ClosedError once the semaphore or its store is closed.
 */
export interface Semaphore<S extends Store = Store> extends AsyncDisposable {
  /** The store that was passed in, or the semaphore's own. */
  readonly store: S;
  /** What happens to this semaphore's permits and calls, for listeners; hooks are listeners too. */
  readonly events: Events;
  /** Fires when the semaphore, or its store, is closed; its reason is a ClosedError. */
  readonly closed: AbortSignal;

  /**
   * Waits in line for a permit.
   *
   * @throws MaxWaitExceededError once `maxWait` has passed, at once if it is 0; the signal's reason; InvalidOptionError if
   * the weight exceeds the limit, also if setLimit lowers it during the wait; StoreUnavailableError, StoreTimeoutError if
   * the store fails until `maxWait` is over. Until then it is asked again
   * @example
   * import { Semaphore } from "sluice";
   * const semaphore = new Semaphore({ limit: 5 });
   * await using permit = await semaphore.acquire("api.example.com", { maxWait: "10s" });
   * console.log(typeof permit.fencingToken, permit.lost.aborted); // bigint false
   * await semaphore.close();
   */
  acquire(key: string, options?: AcquireOptions): Promise<Permit>;

  /**
   * A permit if one is free and no call waits, else undefined.
   *
   * @throws InvalidOptionError, StoreUnavailableError, StoreTimeoutError
   * @example
   * import { Semaphore } from "sluice";
   * const semaphore = new Semaphore({ limit: 1 });
   * const permit = await semaphore.tryAcquire("k");
   * console.log(permit !== undefined, await semaphore.tryAcquire("k")); // true undefined
   * await permit?.release();
   * await semaphore.close();
   */
  tryAcquire(key: string, options?: TryAcquireOptions): Promise<Permit | undefined>;

  /**
   * `tryAcquire` without a promise: for stores inside the process.
   *
   * @throws InvalidOptionError, StoreUnavailableError if the store is full, ClosedError
   * @example
   * import { Semaphore } from "sluice";
   * const semaphore = new Semaphore({ limit: 1 });
   * const permit = semaphore.tryAcquireSync("k");
   * console.log(permit !== undefined, semaphore.tryAcquireSync("k")); // true undefined
   * await permit?.release();
   * await semaphore.close();
   */
  tryAcquireSync(
    this: Semaphore<SyncStore>,
    key: string,
    options?: TryAcquireOptions,
  ): Permit | undefined;

  /**
   * Runs `fn` while holding a permit, and releases it however `fn` ends.
   *
   * @throws what `acquire` and `fn` throw
   * @example
   * import { Semaphore } from "sluice";
   * const semaphore = new Semaphore({ limit: 1 });
   * console.log(await semaphore.withPermit("k", async () => (await semaphore.inspect("k")).held)); // 1
   * console.log((await semaphore.inspect("k")).held); // 0
   * await semaphore.close();
   */
  withPermit<R>(
    key: string,
    fn: (permit: Permit) => R,
    options?: AcquireOptions,
  ): Promise<Awaited<R>>;

  /**
   * `fn` with each call behind `acquire`, and its permit released when the call ends, however it does. `this` is passed on.
   *
   * @throws InvalidOptionError; the function that is returned rejects with what `acquire` and `fn` throw
   * @example
   * import { Semaphore } from "sluice";
   * const semaphore = new Semaphore({ limit: 2 });
   * const load = semaphore.wrap(async (id: number) => `page ${id}`, { key: "pages", maxWait: "5s" });
   * console.log(await Promise.all([1, 2, 3].map((id) => load(id)))); // [ 'page 1', 'page 2', 'page 3' ]
   * await semaphore.close();
   */
  wrap<This, A extends unknown[], R>(
    fn: (this: This, ...args: A) => R,
    options: SemaphoreWrapOptions<A>,
  ): (this: This, ...args: A) => Promise<Awaited<R>>;

  /**
   * Stores a limit for one key, 1 to 1e9, for all processes, instead of the option's. A lower limit revokes no permit.
   *
   * @throws InvalidOptionError, StoreUnavailableError, StoreTimeoutError
   * @example
   * import { Semaphore } from "sluice";
   * const semaphore = new Semaphore({ limit: 5 });
   * await semaphore.setLimit("k", 2);
   * console.log((await semaphore.inspect("k")).limit); // 2
   * await semaphore.close();
   */
  setLimit(key: string, limit: number, options?: SlotOption): Promise<void>;

  /**
   * How much of a key is in use.
   *
   * @throws InvalidOptionError, StoreUnavailableError, StoreTimeoutError
   * @example
   * import { Semaphore } from "sluice";
   * const semaphore = new Semaphore({ limit: 5 });
   * const permit = await semaphore.acquire("k", { weight: 2 });
   * console.log(await semaphore.inspect("k")); // { limit: 5, held: 2, waiting: 0 }
   * await permit.release();
   * await semaphore.close();
   */
  inspect(key: string, options?: SlotOption): Promise<SemaphoreUsage>;

  /**
   * How much of a key is in use, and by whom: the 100 permits that were given first, and the first 100 in line.
   *
   * @throws InvalidOptionError, StoreUnavailableError, StoreTimeoutError
   * @example
   * import { Semaphore } from "sluice";
   * const semaphore = new Semaphore({ limit: 5 });
   * const permit = await semaphore.acquire("k", { weight: 2 });
   * const { held, holders } = await semaphore.list("k");
   * console.log(held, holders.length, holders[0]?.weight); // 2 1 2
   * console.log(holders[0]?.fencingToken === permit.fencingToken); // true
   * await permit.release();
   * await semaphore.close();
   */
  list(key: string, options?: SlotOption): Promise<SemaphoreListing>;

  /**
   * Ends every permit of a key that is held now, in all processes, and gives the permits to waiters. The work of the former
   * holders goes on until their `permit.lost` fires, at the next renewal, about a third of the lease later. A limit that
   * setLimit stored stays.
   *
   * @returns how many permits it ended
   *
   * @throws InvalidOptionError; StoreUnavailableError, StoreTimeoutError: then some of them may be ended
   * @example
   * import { Semaphore } from "sluice";
   * const semaphore = new Semaphore({ limit: 1 });
   * await semaphore.acquire("k");
   * console.log(await semaphore.reset("k")); // 1
   * console.log((await semaphore.inspect("k")).held); // 0
   * await semaphore.close();
   */
  reset(key: string, options?: SlotOption): Promise<number>;

  /**
   * What became of this semaphore's permits in this process, in numbers; see docs/watch.md. No call to the store.
   *
   * @throws nothing, also when it is closed
   * @example
   * import { Semaphore } from "sluice";
   * const semaphore = new Semaphore({ limit: 5 });
   * const permit = await semaphore.acquire("k", { weight: 2 });
   * console.log(semaphore.stats().held, semaphore.stats().granted); // 2 1
   * await permit.release();
   * await semaphore.close();
   */
  stats(): SemaphoreStats;

  /**
   * Rejects all who wait with a ClosedError, as later calls, and gives all permits back: `lost` fires for them. Takes
   * no longer than one `timeout`. Closes the store too if the semaphore made it; one that was passed in stays open.
   *
   * @throws nothing for a second call: it gets the promise of the first
   * @example
   * import { ClosedError, Semaphore } from "sluice";
   * const semaphore = new Semaphore({ limit: 5 });
   * await semaphore.close();
   * console.log((await semaphore.acquire("k").catch((error: unknown) => error)) instanceof ClosedError); // true
   */
  close(): Promise<void>;
}

/** How a semaphore is made: its store shows in its type, which is MemoryStore if there is none. */
export interface SemaphoreConstructor {
  new <S extends Store = MemoryStore>(
    options: SemaphoreOptions<S> & { readonly store?: S },
  ): Semaphore<NoInfer<S>>;
  // Of a store that may be undefined. The second parameter keeps this from classes that extend Semaphore<S>.
  new <S extends Store | undefined, _>(
    options: SemaphoreOptions & { readonly store?: S },
  ): Semaphore<StoreOf<NoInfer<S>>>;
}

// Its type and the class are declared apart, as those of RateLimiter are, and for the same reason.
/**
 * Lets at most `limit` hold a permit of a key at once, across all processes that share the store. Permits are given in FIFO
 * order. A holder renews its permit until it releases it; if it crashes, the permit goes to the next in line after
 * `leaseDuration`.
 *
 * @throws InvalidOptionError
 * @example
 * import { Semaphore } from "sluice";
 * const semaphore = new Semaphore({ limit: 5 });
 * const permit = await semaphore.acquire("api.example.com");
 * console.log((await semaphore.inspect("api.example.com")).held); // 1
 * await permit.release();
 * const status = await semaphore.withPermit("api.example.com", () => "done", { maxWait: "10s" });
 * console.log(status); // done
 * await semaphore.close();
 */
export const Semaphore: SemaphoreConstructor = SemaphoreClass;

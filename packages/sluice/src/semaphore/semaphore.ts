/** At most so many at once, over all processes that share a store: first come, first served. */
import { randomBytes } from "node:crypto";
import { type Duration, MIN_PERIOD_US, toMicroseconds } from "../core/duration.js";
import {
  InvalidOptionError,
  type MaxWaitExceededError,
  StoreUnavailableError,
} from "../core/errors.js";
import { checkKey, checkName } from "../core/key.js";
import { maxWaitMs } from "../core/max-wait.js";
import { checkCount, checkFunction, checkOptions } from "../core/options.js";
import { type Identify, type Identity, identifyBy } from "../core/key.js";
import { checkStore } from "../limiter/options.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import type { Store } from "../stores/store.js";
import { Caller } from "./caller.js";
import {
  SEMAPHORE_VERBS,
  type SemaphoreAnswer,
  type SemaphoreVerb,
  type Terms,
} from "../algorithms/semaphore/kernel.js";
import { WaitQueue } from "./wait-queue.js";
import type { WaitRequest } from "./waiter.js";
import { HeldPermit, type Permit } from "./permit.js";
import type { PermitGrant } from "./permit-grant.js";
import { observerOf } from "./permit-observers.js";
import type { SemaphoreKey, SemaphoreStore } from "../stores/semaphore-store.js";

export interface SemaphoreOptions<S extends Store = Store> {
  /** Weight held at once at most, 1 to 1e9; setLimit changes it for one key. */
  readonly limit: number;
  /** How long a place is kept for a holder that is not heard of, 100 ms to 1 day; default 30 s. */
  readonly leaseDuration?: Duration;
  /** Default: a new MemoryStore of this semaphore's own. */
  readonly store?: S | undefined;
  /** First part of every store key; default "sluice". */
  readonly namespace?: string;
  /** Tells semaphores of one namespace apart; default "semaphore". */
  readonly name?: string;
  readonly identity?: Identity;
  /** The semaphore's own deadline for a store call, 1 ms to 1 h; default 250 ms. */
  readonly timeout?: Duration;
}

export interface TryAcquireOptions {
  /** How much of the limit the place takes, 1 to the limit; default 1. */
  readonly weight?: number;
}

export interface AcquireOptions extends TryAcquireOptions {
  /** How long to wait in line at most; default: for ever. */
  readonly maxWait?: Duration;
  /** Rejects with its reason, and leaves the line. */
  readonly signal?: AbortSignal;
}

/** What a semaphore's key is at. */
export interface SemaphoreUsage {
  readonly limit: number;
  /** Weight of all that is held, and of places that were handed over and not taken up yet. */
  readonly held: number;
  /** How many are in line. */
  readonly waiting: number;
}

const OPTIONS: readonly (keyof SemaphoreOptions)[] = [
  "limit",
  "leaseDuration",
  "store",
  "namespace",
  "name",
  "identity",
  "timeout",
];
const MOST = 1e9;
const DEFAULT_NAME = "semaphore";
const MIN_LEASE_US = 100e3;
const MAX_LEASE_US = 86_400e6;
const MAX_TIMEOUT_US = 3600e6;
const NO_OPTIONS: AcquireOptions = Object.freeze({});
const NONCE_BYTES = 9;
/** A waiter inside this process cannot end without the store. */
const LOCAL_WAIT_US = 86_400e6;

/**
 * A place that was handed over is confirmed within a quarter of the lease, 2 s at most; a waiter that is not heard
 * of for two and a half times as long is out of the line. Together that is less than a lease, so that no dead
 * waiter keeps a place for longer than a dead holder.
 */
function termsOf(leaseUs: number, external: boolean): Terms {
  const claimUs = Math.min(2e6, Math.floor(leaseUs / 4));
  return { leaseUs, claimUs, waitUs: external ? Math.floor(claimUs * 2.5) : LOCAL_WAIT_US };
}

class SharedSemaphore<S extends Store = Store> implements AsyncDisposable {
  readonly store: S;
  readonly #ownsStore: boolean;
  readonly #caller: Caller;
  readonly #identify: Identify;
  readonly #keyspace: string;
  readonly #fingerprint: string;
  readonly #nonce = randomBytes(NONCE_BYTES).toString("base64url");
  readonly #queues = new Map<string, WaitQueue>();
  readonly #permits = new Set<HeldPermit>();
  #queuesMade = 0;
  #isClosed = false;

  constructor(options: SemaphoreOptions<S>) {
    checkOptions("options", options, OPTIONS);
    const { store = new MemoryStore(), namespace = "sluice", name = DEFAULT_NAME } = options;
    const { leaseDuration = "30s", timeout = 250 } = options;
    const limit = checkCount("limit", options.limit, 1, MOST);
    const leaseUs = toMicroseconds("leaseDuration", leaseDuration, MIN_LEASE_US, MAX_LEASE_US);
    this.store = checkStore(store) as S;
    this.#ownsStore = options.store === undefined;
    const { external } = this.store;
    this.#caller = new Caller({
      store: semaphoresOf(this.store),
      external,
      limit,
      terms: termsOf(leaseUs, external),
      timeoutMs: toMicroseconds("timeout", timeout, MIN_PERIOD_US, MAX_TIMEOUT_US) / 1e3,
    });
    this.#identify = identifyBy(options.identity, external);
    const suffix = checkName("name", name) === DEFAULT_NAME ? "" : `~${DEFAULT_NAME}`;
    this.#keyspace = `${checkName("namespace", namespace)}:${name}${suffix}`;
    this.#fingerprint = JSON.stringify({ semaphore: { limit } });
    // Last, for nothing after it may throw.
    this.#claim(limit);
  }

  /**
   * Waits in line for a place.
   *
   * @throws MaxWaitExceededError once `maxWait` has passed, at once where it is 0; the signal's reason;
   * InvalidOptionError where the weight exceeds the limit, also where setLimit lowers it meanwhile;
   * StoreUnavailableError, StoreTimeoutError where the store fails before one is in line: after that one waits
   */
  async acquire(key: string, options: AcquireOptions = NO_OPTIONS): Promise<Permit> {
    checkOptions("options", options, ["weight", "maxWait", "signal"]);
    const { weight = 1, maxWait, signal } = options;
    const permit = await this.#acquire(key, { weight, maxWaitMs: maxWaitMs(maxWait), signal });
    if (permit instanceof HeldPermit) return permit;
    throw permit;
  }

  /** A place if there is one now and nobody waits, else undefined. */
  async tryAcquire(
    key: string,
    options: TryAcquireOptions = NO_OPTIONS,
  ): Promise<Permit | undefined> {
    checkOptions("options", options, ["weight"]);
    const { weight = 1 } = options;
    const permit = await this.#acquire(key, { weight, maxWaitMs: 0, signal: undefined });
    return permit instanceof HeldPermit ? permit : undefined;
  }

  /** Runs `fn` while holding a place, and releases it however `fn` ends. */
  async withPermit<R>(
    key: string,
    fn: (permit: Permit) => R,
    options: AcquireOptions = NO_OPTIONS,
  ): Promise<Awaited<R>> {
    checkFunction("fn", fn);
    const permit = await this.acquire(key, options);
    try {
      return await fn(permit);
    } finally {
      await permit[Symbol.asyncDispose]();
    }
  }

  /** Stores another limit for a key, for all processes, in place of the option's. Lowering it revokes nothing. */
  async setLimit(key: string, limit: number): Promise<void> {
    checkCount("limit", limit, 1, MOST);
    await this.#tell(this.#keyOf(key), SEMAPHORE_VERBS.setLimit, limit);
  }

  /** What a key is at. */
  async inspect(key: string): Promise<SemaphoreUsage> {
    const { limit, held, waiting } = await this.#tell(this.#keyOf(key), SEMAPHORE_VERBS.inspect);
    return { limit, held, waiting };
  }

  /**
   * Rejects all who wait with a StoreUnavailableError, and gives all permits back, for which `lost` fires. A store
   * that was passed in stays open.
   */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.store.release(this.#keyspace, this.#fingerprint);
    const queues = [...this.#queues.values()].map((queue) => queue.abandon(closedError()));
    const permits = [...this.#permits].map((permit) => permit.revoke("the semaphore was closed"));
    await Promise.all([...queues, ...permits]);
    if (this.#ownsStore) await this.store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #claim(limit: number): void {
    try {
      this.store.claim(this.#keyspace, this.#fingerprint);
    } catch {
      const allowed = `the limit that another semaphore of this store has under "${this.#keyspace}"; share that semaphore, or give this one a name of its own`;
      throw new InvalidOptionError("limit", limit, allowed);
    }
  }

  #keyOf(key: string): SemaphoreKey {
    checkKey(key);
    return { keyspace: this.#keyspace, id: this.#identify(key) };
  }

  /** A permit, or the error of whoever would not wait longer. */
  async #acquire(key: string, request: WaitRequest): Promise<HeldPermit | MaxWaitExceededError> {
    checkCount("weight", request.weight, 1, MOST);
    const semaphoreKey = this.#keyOf(key);
    request.signal?.throwIfAborted();
    if (this.#isClosed) throw closedError();
    const queue = this.#queueOf(semaphoreKey);
    const permit = await queue.acquire(request);
    if (permit === undefined) return queue.maxWaitExceeded(0);
    // Closed since the grant: then it was given back.
    if (this.#isClosed) throw closedError();
    return permit;
  }

  #hold(grant: PermitGrant): HeldPermit {
    const observer = observerOf(this);
    const permit: HeldPermit = new HeldPermit(grant, this.#caller, observer, () =>
      this.#permits.delete(permit),
    );
    this.#permits.add(permit);
    return permit;
  }

  #queueOf(semaphoreKey: SemaphoreKey): WaitQueue {
    let queue = this.#queues.get(semaphoreKey.id);
    if (queue === undefined) {
      this.#queuesMade += 1;
      const owner = `${this.#nonce}${this.#queuesMade.toString(36)}`;
      queue = new WaitQueue({
        owner,
        key: semaphoreKey,
        caller: this.#caller,
        hold: (grant) => this.#hold(grant),
        ended: () => this.#queues.delete(semaphoreKey.id),
      });
      this.#queues.set(semaphoreKey.id, queue);
    }
    return queue;
  }

  #tell(key: SemaphoreKey, verb: SemaphoreVerb, limit?: number): Promise<SemaphoreAnswer> {
    return this.#caller.call(key, verb, [], limit === undefined ? {} : { limit });
  }
}

function closedError(): StoreUnavailableError {
  return new StoreUnavailableError("the semaphore is closed");
}

function semaphoresOf(store: Store): SemaphoreStore {
  if (store.semaphores !== undefined) return store.semaphores;
  const allowed =
    "a store that holds semaphores, such as new MemoryStore() or new RedisStore({ client })";
  throw new InvalidOptionError("store", "a store without semaphores", allowed);
}

interface SemaphoreConstructor {
  new (options: SemaphoreOptions & { readonly store?: undefined }): Semaphore<MemoryStore>;
  new <S extends Store>(options: SemaphoreOptions<S> & { readonly store: S }): Semaphore<S>;
  new (options: SemaphoreOptions): Semaphore;
  readonly prototype: Semaphore;
}

/** A semaphore on a store of type `S`. */
export type Semaphore<S extends Store = Store> = SharedSemaphore<S>;

/**
 * Lets at most `limit` hold a place of a key at once, over all processes that share the store. Who comes first is
 * served first; a place whose holder is not heard of for `leaseDuration` is given on.
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
export const Semaphore: SemaphoreConstructor = SharedSemaphore;

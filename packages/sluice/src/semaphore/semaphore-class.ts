/** The semaphore behind its interface: permits are given in FIFO order, across all processes that share a store. */
import {
  SEMAPHORE_VERBS,
  type SemaphoreAnswer,
  type SemaphoreVerb,
} from "../algorithms/semaphore/kernel.js";
import { checkSignal } from "../core/abort.js";
import { Closing } from "../core/closing.js";
import { InvalidOptionError } from "../core/errors.js";
import { Places } from "../core/few.js";
import { randomName } from "../core/digest.js";
import type { Identify } from "../core/identity.js";
import { INSPECT, type InspectArguments, inspected } from "../core/inspect.js";
import { checkKey, checkSlot, SLOT_OPTIONS, type SlotOption } from "../core/key.js";
import { maxWaitMs } from "../core/max-wait.js";
import { checkCount, checkFunction } from "../core/options.js";
import { rejected } from "../core/promises.js";
import { Events } from "../events/events.js";
import { addOutageHooks } from "../events/hooks.js";
import type { Store, SyncStore } from "../stores/store.js";
import { Caller, type CallerKey } from "./caller.js";
import { SemaphoreCounts, type SemaphoreStats, type SemaphoreUsage } from "./counts.js";
import { listMembers, revokeAll, type SemaphoreListing } from "./members.js";
import {
  type AcquireOptions,
  ACQUIRE_OPTIONS,
  checkSemaphoreOptions,
  TRY_ACQUIRE_OPTIONS,
  DEFAULT_NAME,
  MAX_SEMAPHORE_LIMIT,
  type SemaphoreOptions,
  type TryAcquireOptions,
} from "./options.js";
import { HeldPermit, type Permit } from "./permit.js";
import { waitInLine } from "./wait-in-line.js";
import { WaitQueue } from "./wait-queue.js";
import type { WaitRequest } from "./waiter.js";
import { type SemaphoreWrapOptions, wrapHolding } from "./wrap.js";

/** What others of the library know of a semaphore: fields, and who renews what it lent. */
export interface SemaphoreQuota {
  readonly name: string;
  /** The option; a key may have been given another one by setLimit. */
  readonly limit: number;
  readonly identify: Identify;
  readonly caller: Caller;
  readonly keyspace: string;
}

let quotaIn: (semaphore: object) => SemaphoreQuota | undefined;

/** undefined if `semaphore` is none. */
export function quotaOfSemaphore(semaphore: object): SemaphoreQuota | undefined {
  return quotaIn(semaphore);
}

const NO_ACQUIRE_OPTIONS: AcquireOptions = Object.freeze({});
const OWNER_BYTES = 9;
/** Lines that may stay without a waiter. A new one for each acquisition would cost more than the acquisition. */
const FEW_QUEUES = 64;

/** What `Semaphore` in semaphore.ts makes. Its members are documented there. */
class Semaphore<S extends Store = Store> implements AsyncDisposable {
  static {
    quotaIn = (semaphore) => (#quota in semaphore ? semaphore.#quota : undefined);
  }

  readonly store: S;
  readonly events = new Events();
  readonly #counts = new SemaphoreCounts();
  readonly #ownsStore: boolean;
  readonly #caller: Caller;
  readonly #quota: SemaphoreQuota;
  readonly #identify: Identify;
  readonly #keyspace: string;
  readonly #fingerprint: string;
  readonly #nonce = randomName(OWNER_BYTES);
  /** Those without a waiter stay for the next one, until there are many. */
  readonly #queues = new Map<string, WaitQueue>();
  #sweepAt = FEW_QUEUES;
  readonly #permits = new Places<HeldPermit>();
  #linesBegun = 0;
  readonly #closing: Closing;
  readonly closed: AbortSignal;
  /** Resolves when those who waited have left the line. */
  #abandoned: Promise<unknown> | undefined;

  constructor(options: SemaphoreOptions<S>) {
    const { limit, store, ownsStore, keyspace, identify, ...settings } =
      checkSemaphoreOptions(options);
    addOutageHooks(this.events, options.hooks);
    this.store = store;
    this.#ownsStore = ownsStore;
    this.#closing = new Closing("semaphore", store.closed);
    this.closed = this.#closing.signal;
    this.#closing.listeners.add(() => {
      this.#abandonAll();
    });
    const shared = { events: this.events, counts: this.#counts, closing: this.#closing };
    this.#caller = new Caller({ ...settings, store, keyspace, limit, ...shared });
    this.#identify = identify;
    const { name = DEFAULT_NAME } = options;
    this.#quota = { name, limit, identify, caller: this.#caller, keyspace };
    this.#keyspace = keyspace;
    this.#fingerprint = JSON.stringify({ semaphore: { limit } });
    // Last: if the constructor threw after it, the claim could never be released.
    this.#claim(limit);
  }

  acquire(key: string, options: AcquireOptions = NO_ACQUIRE_OPTIONS): Promise<Permit> {
    // Not async: a waiter gets the queue's own promise, because each turn of a promise leaves its permit unused.
    try {
      const { weight = 1, maxWait, signal, slot } = ACQUIRE_OPTIONS.known(options);
      checkSignal("signal", signal);
      const request = { weight, maxWaitMs: maxWaitMs(maxWait), signal };
      const queue = this.#queueFor(key, slot, weight, signal);
      if (request.maxWaitMs === 0) return this.#acquireNow(queue, request);
      const about = { caller: this.#keyspace, key, slot, cost: weight };
      return waitInLine(queue, request, about, this.#caller);
    } catch (error) {
      return rejected(error as Error);
    }
  }

  async #acquireNow(queue: WaitQueue, { weight, signal }: WaitRequest): Promise<Permit> {
    const permit = await queue.tryAcquire(weight, signal);
    if (permit === undefined) throw queue.maxWaitExceeded(0);
    // Closed since the grant: then it was given back.
    this.#closing.throwIfClosed();
    return permit;
  }

  async tryAcquire(
    key: string,
    options: TryAcquireOptions = NO_ACQUIRE_OPTIONS,
  ): Promise<Permit | undefined> {
    const { weight = 1, slot } = TRY_ACQUIRE_OPTIONS.known(options);
    const queue = this.#queueFor(key, slot, weight, undefined);
    const permit = await queue.tryAcquire(weight);
    if (permit !== undefined) this.#closing.throwIfClosed();
    return permit;
  }

  tryAcquireSync(
    this: Semaphore<SyncStore>,
    key: string,
    options: TryAcquireOptions = NO_ACQUIRE_OPTIONS,
  ): Permit | undefined {
    const { weight = 1, slot } = TRY_ACQUIRE_OPTIONS.known(options);
    this.#closing.throwIfClosed();
    checkCount("weight", weight, 1, MAX_SEMAPHORE_LIMIT);
    return this.#queueOf(this.#keyOf(key, slot)).tryAcquireSync(weight);
  }

  async withPermit<R>(
    key: string,
    fn: (permit: Permit) => R,
    options: AcquireOptions = NO_ACQUIRE_OPTIONS,
  ): Promise<Awaited<R>> {
    checkFunction("fn", fn);
    const permit = await this.acquire(key, options);
    try {
      return await fn(permit);
    } finally {
      await permit[Symbol.asyncDispose]();
    }
  }

  wrap<This, A extends unknown[], R>(
    fn: (this: This, ...args: A) => R,
    options: SemaphoreWrapOptions<A>,
  ): (this: This, ...args: A) => Promise<Awaited<R>> {
    return wrapHolding((key, wait) => this.acquire(key, wait), fn, options);
  }

  async setLimit(
    key: string,
    limit: number,
    options: SlotOption = NO_ACQUIRE_OPTIONS,
  ): Promise<void> {
    const { slot } = SLOT_OPTIONS.known(options);
    checkCount("limit", limit, 1, MAX_SEMAPHORE_LIMIT);
    await this.#call(this.#keyOf(key, slot), SEMAPHORE_VERBS.setLimit, limit);
  }

  async inspect(key: string, options: SlotOption = NO_ACQUIRE_OPTIONS): Promise<SemaphoreUsage> {
    const { slot } = SLOT_OPTIONS.known(options);
    const usage = await this.#call(this.#keyOf(key, slot), SEMAPHORE_VERBS.inspect);
    const { limit, held, waiting } = usage;
    return { limit, held, waiting };
  }

  async list(key: string, options: SlotOption = NO_ACQUIRE_OPTIONS): Promise<SemaphoreListing> {
    const { slot } = SLOT_OPTIONS.known(options);
    const at = this.#keyOf(key, slot);
    this.#closing.throwIfClosed();
    return listMembers(this.#caller, at);
  }

  async reset(key: string, options: SlotOption = NO_ACQUIRE_OPTIONS): Promise<number> {
    const { slot } = SLOT_OPTIONS.known(options);
    const at = this.#keyOf(key, slot);
    this.#closing.throwIfClosed();
    return revokeAll(this.#caller, at);
  }

  stats(): SemaphoreStats {
    return this.#counts.stats(this.#keyspace, this.#quota.limit);
  }

  close(): Promise<void> {
    return this.#closing.end(async () => {
      this.store.release(this.#keyspace, this.#fingerprint);
      const permits = this.#permits
        .all()
        .map((permit) => permit.revoke("the semaphore was closed"));
      await Promise.all([this.#abandoned, ...permits]);
      if (this.#ownsStore) await this.store.close();
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  [INSPECT](...how: InspectArguments): string {
    const { name, limit } = this.#quota;
    const fields = { name, keyspace: this.#keyspace, limit, store: this.store.constructor.name };
    return inspected(this, fields, ["store", "events", "closed"], how);
  }

  #abandonAll(): void {
    const makeReason = (): Error => this.#closing.error();
    this.#abandoned = Promise.all(
      [...this.#queues.values()].map((queue) => queue.abandon(makeReason)),
    );
  }

  #claim(limit: number): void {
    try {
      this.store.claim(this.#keyspace, this.#fingerprint);
    } catch {
      const allowed = `the limit that another semaphore of this store has under "${this.#keyspace}"; share that semaphore, or give this one another name`;
      throw new InvalidOptionError("limit", limit, allowed);
    }
  }

  #keyOf(key: string, slot: string | undefined): CallerKey {
    checkKey(key);
    checkSlot(slot);
    return { keyspace: this.#keyspace, id: this.#identify(key, slot), key };
  }

  /** The line that an acquisition gets into, unless it is refused. */
  #queueFor(
    key: string,
    slot: string | undefined,
    weight: number,
    signal: AbortSignal | undefined,
  ): WaitQueue {
    this.#closing.throwIfClosed();
    checkCount("weight", weight, 1, MAX_SEMAPHORE_LIMIT);
    const semaphoreKey = this.#keyOf(key, slot);
    signal?.throwIfAborted();
    return this.#queueOf(semaphoreKey);
  }

  #queueOf(semaphoreKey: CallerKey): WaitQueue {
    let queue = this.#queues.get(semaphoreKey.id);
    if (queue === undefined) {
      queue = new WaitQueue({
        key: semaphoreKey,
        caller: this.#caller,
        hold: (grant) => new HeldPermit(grant, this.#caller, this.#permits),
      });
      if (this.#queues.size >= this.#sweepAt) this.#dropUnused();
      this.#queues.set(semaphoreKey.id, queue);
    }
    if (queue.isEmpty) {
      this.#linesBegun += 1;
      queue.begin(`${this.#nonce}${this.#linesBegun.toString(36)}`);
    }
    return queue;
  }

  #dropUnused(): void {
    for (const [id, queue] of this.#queues) if (queue.isEmpty) this.#queues.delete(id);
    this.#sweepAt = Math.max(FEW_QUEUES, 2 * this.#queues.size);
  }

  async #call(key: CallerKey, verb: SemaphoreVerb, limit?: number): Promise<SemaphoreAnswer> {
    this.#closing.throwIfClosed();
    return this.#caller.call(key, verb, [], limit === undefined ? {} : { limit });
  }
}

export { Semaphore as SemaphoreClass };

/** Semaphores inside this process: the pure kernel on a Map. */
import { type Clock, whenSettled } from "../../core/clock.js";
import type { Closing } from "../../core/closing.js";
import { StoreUnavailableError } from "../../core/errors.js";
import { digestOf } from "../../core/identity.js";
import {
  executeSemaphore,
  SEMAPHORE_VERBS,
  type SemaphoreAnswer,
  type SemaphoreCommand,
  type Notification,
} from "../../algorithms/semaphore/kernel.js";
import { freshState, type SemaphoreState } from "../../algorithms/semaphore/state.js";
import {
  type Listening,
  ownerOf,
  type SemaphoreKey,
  type SemaphoreStore,
  type NotificationListener,
} from "../semaphore-store.js";
import type { Budget } from "./arena.js";

/** Waiters of this process are notified by their id; the channel only says that they can be. */
const CHANNEL = "memory";

const { acquire, tryAcquire, setLimit } = SEMAPHORE_VERBS;

/** Keys looked at to make room for a new one. */
const LOOKS_FOR_ROOM = 16;
/** A longer id is kept as its digest. */
const LONGEST_ID = 64;
/** Bytes of a semaphore's sets and maps while it is held, and of one who holds or waits, at the most. */
const STATE_BYTES = 1536;
const MEMBER_BYTES = 512;

export interface MemorySemaphoresOptions {
  readonly clock: Clock;
  /** Semaphores kept at most. */
  readonly maxKeys: number;
  /** What they take counts here, together with what the limiters of the store hold. */
  readonly budget: Budget;
  readonly closing: Closing;
  /** Frees this many bytes at the limiters' cost; false if it cannot. */
  readonly makeRoom: (bytes: number) => boolean;
}

export class MemorySemaphores implements SemaphoreStore {
  readonly clock: Clock;
  readonly #options: MemorySemaphoresOptions;
  readonly #states = new Map<string, SemaphoreState>();
  readonly #listeners = new Map<string, NotificationListener>();
  /** No state that was forgotten gave out a higher number, so that fences rise even while time stands still. */
  #counterFloor = 0;

  constructor(options: MemorySemaphoresOptions) {
    this.clock = options.clock;
    this.#options = options;
  }

  /** Semaphores that are held, waited for, or have their own limit. */
  get size(): number {
    return this.#states.size;
  }

  async execute(key: SemaphoreKey, command: SemaphoreCommand): Promise<SemaphoreAnswer> {
    return this.executeSync(key, command);
  }

  executeSync(key: SemaphoreKey, command: SemaphoreCommand): SemaphoreAnswer {
    this.#options.closing.throwIfClosed();
    const id = key.id.length <= LONGEST_ID ? key.id : digestOf(key.id);
    const name = `${key.keyspace}:{${id}}`;
    const known = this.#states.get(name);
    const state = known ?? freshState(this.#counterFloor);
    const { budget } = this.#options;
    const before = known === undefined ? 0 : bytesOf(name, known);
    this.#checkRoom(name, known, command);
    const notifications: Notification[] = [];
    const answer = executeSemaphore(state, command, this.clock.nowUs(), notifications);
    if (isIdle(state) && state.limit === 0) {
      this.#counterFloor = Math.max(this.#counterFloor, state.counter);
      this.#states.delete(name);
      budget.usedBytes -= before;
    } else {
      if (known === undefined) this.#states.set(name, state);
      budget.usedBytes += bytesOf(name, state) - before;
    }
    // Not before the caller has its own answer.
    if (notifications.length > 0) queueMicrotask(() => this.#notify(notifications));
    return answer;
  }

  channelOf(): string {
    return CHANNEL;
  }

  listen(_key: SemaphoreKey, listener: NotificationListener): Listening {
    this.#listeners.set(listener.owner, listener);
    return {
      isLive: () => true,
      missed: () => {},
      end: () => {
        this.#listeners.delete(listener.owner);
      },
    };
  }

  /** @throws StoreUnavailableError with code "STORE_FULL" */
  #checkRoom(
    name: string,
    known: SemaphoreState | undefined,
    { verb, entries }: SemaphoreCommand,
  ): void {
    // Only these add anything. All else must be possible in a full store too.
    const adds = verb === acquire || verb === tryAcquire;
    if (!adds && verb !== setLimit) return;
    const { budget, maxKeys, makeRoom } = this.#options;
    const added = adds ? entries.filter(({ id }) => known?.members.has(id) !== true).length : 0;
    const bytes = added * MEMBER_BYTES + (known === undefined ? bytesOf(name, undefined) : 0);
    const isFull = (): boolean =>
      (known === undefined && this.#states.size >= maxKeys) ||
      budget.usedBytes + bytes > budget.maxBytes;
    if (!isFull()) return;
    this.#forgetOne();
    if (!isFull()) return;
    if ((known !== undefined || this.#states.size < maxKeys) && makeRoom(bytes)) return;
    throw new StoreUnavailableError(
      `the store is full: ${this.#states.size} semaphores are held, waited for or limited by setLimit; ` +
        "see maxKeys and maxBytes",
      { code: "STORE_FULL", ofKey: true },
    );
  }

  #notify(notifications: readonly Notification[]): void {
    for (const wake of notifications) {
      const listener = this.#listeners.get(ownerOf(wake.id));
      if (listener !== undefined) listener.notified(wake);
      else void this.#notifyLater(wake);
    }
  }

  /** The answer that it waits is still on its way to whom this is for: he listens once he has it. */
  async #notifyLater(wake: Notification): Promise<void> {
    await whenSettled();
    this.#listeners.get(ownerOf(wake.id))?.notified(wake);
  }

  /** Forgets an unused one of a few keys, in rotation: its leases all ended, or it only has a limit. */
  #forgetOne(): void {
    const nowUs = this.clock.nowUs();
    let looks = LOOKS_FOR_ROOM;
    for (const [name, state] of this.#states) {
      if (looks === 0) return;
      looks -= 1;
      this.#states.delete(name);
      if (isIdle(state) || isOver(state, nowUs)) {
        this.#counterFloor = Math.max(this.#counterFloor, state.counter);
        this.#options.budget.usedBytes -= bytesOf(name, state);
        return;
      }
      this.#states.set(name, state);
    }
  }
}

/** What a semaphore takes. */
function bytesOf(name: string, state: SemaphoreState | undefined): number {
  return (
    STATE_BYTES + name.length * 2 + (state === undefined ? 0 : state.members.size * MEMBER_BYTES)
  );
}

function isIdle({ holders, queue }: SemaphoreState): boolean {
  return holders.size === 0 && queue.size === 0;
}

/** Whether every lease has ended. */
function isOver({ holders, waits }: SemaphoreState, nowUs: number): boolean {
  for (const { score } of holders) if (score > nowUs) return false;
  for (const { score } of waits) if (score > nowUs) return false;
  return true;
}

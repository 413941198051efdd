/** Semaphores inside this process: the pure kernel on a Map. */
import type { Clock } from "../../core/clock.js";
import type { Closing } from "../../core/closing.js";
import { StoreUnavailableError } from "../../core/errors.js";
import {
  executeSemaphore,
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

/** Waiters of this process are notified by their id; the channel only says that they can be. */
const CHANNEL = "memory";

/** Keys looked at to make room for a new one. */
const LOOKS_FOR_ROOM = 16;

export class MemorySemaphores implements SemaphoreStore {
  readonly clock: Clock;
  readonly #maxKeys: number;
  readonly #closing: Closing;
  readonly #states = new Map<string, SemaphoreState>();
  readonly #listeners = new Map<string, NotificationListener>();
  /** No state that was forgotten gave out a higher number, so that fences rise even where time stands still. */
  #counterFloor = 0;

  constructor(clock: Clock, maxKeys: number, closing: Closing) {
    this.clock = clock;
    this.#maxKeys = maxKeys;
    this.#closing = closing;
  }

  /** Semaphores that are held, waited for, or have a limit of their own. */
  get size(): number {
    return this.#states.size;
  }

  async execute(key: SemaphoreKey, command: SemaphoreCommand): Promise<SemaphoreAnswer> {
    return this.executeSync(key, command);
  }

  executeSync(key: SemaphoreKey, command: SemaphoreCommand): SemaphoreAnswer {
    this.#closing.throwIfClosed();
    const name = `${key.keyspace}:{${key.id}}`;
    const known = this.#states.get(name);
    const state = known ?? freshState(this.#counterFloor);
    const isFull = known === undefined && this.#states.size >= this.#maxKeys;
    if (isFull && !this.#makeRoom()) {
      throw new StoreUnavailableError(
        `the store is full: ${this.#maxKeys} semaphores are held, waited for or limited by setLimit`,
      );
    }
    const notifications: Notification[] = [];
    const answer = executeSemaphore(state, command, this.clock.nowUs(), notifications);
    if (isIdle(state) && state.limit === 0) {
      this.#counterFloor = Math.max(this.#counterFloor, state.counter);
      this.#states.delete(name);
    } else if (known === undefined) this.#states.set(name, state);
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

  #notify(notifications: readonly Notification[]): void {
    for (const wake of notifications) this.#listeners.get(ownerOf(wake.id))?.notified(wake);
  }

  /** Forgets one key of a few, going round, that nobody uses: its leases all ended, or it only has a limit. */
  #makeRoom(): boolean {
    const nowUs = this.clock.nowUs();
    let looks = LOOKS_FOR_ROOM;
    for (const [name, state] of this.#states) {
      if (looks === 0) return false;
      looks -= 1;
      this.#states.delete(name);
      if (isIdle(state) || isOver(state, nowUs)) {
        this.#counterFloor = Math.max(this.#counterFloor, state.counter);
        return true;
      }
      this.#states.set(name, state);
    }
    return false;
  }
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

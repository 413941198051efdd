/** Semaphores inside this process: the pure kernel on a Map. */
import type { Clock } from "../../core/clock.js";
import { StoreUnavailableError } from "../../core/errors.js";
import {
  executeSemaphore,
  freshState,
  type SemaphoreAnswer,
  type SemaphoreCommand,
  type SemaphoreState,
  type Wake,
} from "../../semaphore/kernel.js";
import {
  type Listening,
  ownerOf,
  type SemaphorePlace,
  type SemaphoreStore,
  type WakeListener,
} from "../../semaphore/port.js";

/** Waiters of this process are woken by their id; the channel only says that they can be. */
const CHANNEL = "memory";

/** Keys looked at to make room for a new one. */
const LOOKS_FOR_ROOM = 16;

export class MemorySemaphores implements SemaphoreStore {
  readonly clock: Clock;
  readonly #maxKeys: number;
  readonly #states = new Map<string, SemaphoreState>();
  readonly #listeners = new Map<string, WakeListener>();
  /** No state that was forgotten gave out a higher number, so that fences rise even where time stands still. */
  #counterFloor = 0;

  constructor(clock: Clock, maxKeys: number) {
    this.clock = clock;
    this.#maxKeys = maxKeys;
  }

  /** Semaphores that are held, waited for, or have a limit of their own. */
  get size(): number {
    return this.#states.size;
  }

  async execute(place: SemaphorePlace, command: SemaphoreCommand): Promise<SemaphoreAnswer> {
    const key = `${place.keyspace}:{${place.id}}`;
    const known = this.#states.get(key);
    const state = known ?? freshState(this.#counterFloor);
    const isFull = known === undefined && this.#states.size >= this.#maxKeys;
    if (isFull && !this.#makeRoom()) {
      throw new StoreUnavailableError(
        `the store is full: ${this.#maxKeys} semaphores are held, waited for or limited by setLimit`,
      );
    }
    const wakes: Wake[] = [];
    const answer = executeSemaphore(state, command, this.clock.nowUs(), wakes);
    if (isIdle(state) && state.limit === 0) {
      this.#counterFloor = Math.max(this.#counterFloor, state.counter);
      this.#states.delete(key);
    } else if (known === undefined) this.#states.set(key, state);
    // Not before the caller has its own answer.
    if (wakes.length > 0) queueMicrotask(() => this.#wake(wakes));
    return answer;
  }

  channelOf(): string {
    return CHANNEL;
  }

  listen(_place: SemaphorePlace, listener: WakeListener): Listening {
    this.#listeners.set(listener.owner, listener);
    return {
      isLive: () => true,
      missed: () => {},
      end: () => {
        this.#listeners.delete(listener.owner);
      },
    };
  }

  #wake(wakes: readonly Wake[]): void {
    for (const wake of wakes) this.#listeners.get(ownerOf(wake.id))?.woken(wake);
  }

  /** Forgets one key of a few, going round, that nobody uses: its leases all ended, or it only has a limit. */
  #makeRoom(): boolean {
    const nowUs = this.clock.nowUs();
    let looks = LOOKS_FOR_ROOM;
    for (const [key, state] of this.#states) {
      if (looks === 0) return false;
      looks -= 1;
      this.#states.delete(key);
      if (isIdle(state) || isOver(state, nowUs)) {
        this.#counterFloor = Math.max(this.#counterFloor, state.counter);
        return true;
      }
      this.#states.set(key, state);
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

/** What a store offers, beside decisions, for semaphores to live in it. */
import type { Clock } from "../core/clock.js";
import type {
  SemaphoreAnswer,
  SemaphoreCommand,
  Notification,
} from "../algorithms/semaphore/kernel.js";

/** One semaphore's key. */
export interface SemaphoreKey {
  /** `<namespace>:<name>`. */
  readonly keyspace: string;
  /** The identity, hashed where the semaphore says so. */
  readonly id: string;
}

/** Somebody who waits for places to be handed over. */
export interface NotificationListener {
  /** The first part of the ids of its waiters, up to the dot; nobody else has it. */
  readonly owner: string;
  /** A waiter was handed a place, or should ask why not. */
  notified(wake: Omit<Notification, "channel">): void;
  /** From now on wake-ups arrive: what came before may have been missed. */
  live(): void;
}

export interface Listening {
  /** Whether wake-ups arrive, as far as is known; else waiters have to ask. */
  isLive(): boolean;
  /** A wake-up was due that did not arrive: waiters have to ask until it is clear again that they do. */
  missed(): void;
  end(): void;
}

export interface SemaphoreStore {
  /** What waiting goes by. */
  readonly clock: Clock;
  /**
   * Executes commands on a place one after another, in the order of the calls. What could not be done because the
   * place is moving may be tried again, and so come later, for `withinMs`.
   */
  execute(key: SemaphoreKey, command: SemaphoreCommand, withinMs: number): Promise<SemaphoreAnswer>;
  /** Where this process can be notified for a place: "" = it cannot. */
  channelOf(key: SemaphoreKey): string;
  /** Begins to listen for wake-ups on a place. */
  listen(key: SemaphoreKey, listener: NotificationListener): Listening;
}

/** Whose waiter an id is. */
export function ownerOf(id: string): string {
  return id.slice(0, id.indexOf("."));
}

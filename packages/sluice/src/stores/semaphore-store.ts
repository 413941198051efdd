/** The port between a semaphore and the store that keeps it: commands, and notifications of handed-over places. */
import type { Clock } from "../core/clock.js";
import type {
  SemaphoreAnswer,
  SemaphoreCommand,
  Notification,
} from "../algorithms/semaphore/kernel.js";
import type { Submitted } from "./hand-over.js";

/** One semaphore's key. */
export interface SemaphoreKey {
  /** `<namespace>:<name>`. */
  readonly keyspace: string;
  /** The identity, hashed if the semaphore hashes identities. */
  readonly id: string;
}

/** Hears of the permits that are handed to the waiters of one process and key. */
export interface NotificationListener {
  /** The first part of the ids of its waiters, up to the dot; no other queue has it. */
  readonly owner: string;
  /** A waiter was handed a permit, or should ask why not. */
  notified(wake: Omit<Notification, "channel">): void;
  /** Notifications arrive from now on; earlier ones may have been missed. */
  live(): void;
}

/** What listening to a key returns. */
export interface Listening {
  /** Whether notifications arrive, as far as is known; else waiters have to ask. */
  isLive(): boolean;
  /** A notification did not arrive: until it is clear that they arrive again, waiters have to ask. */
  missed(): void;
  /** Ends it. */
  end(): void;
}

/** What a store does for semaphores. */
export interface SemaphoreStore {
  /** The clock of leases and waits in this process. */
  readonly clock: Clock;
  /**
   * Executes the commands of one key one after another, in the order of the calls. A command that fails because the key is
   * moving to another node may be tried again for `withinMs`, and so come later. A store with `marksHandOver` sets the
   * hand-over in `submitted`.
   */
  execute(
    key: SemaphoreKey,
    command: SemaphoreCommand,
    withinMs: number,
    submitted?: Submitted,
  ): Promise<SemaphoreAnswer>;
  /** As `hurry` of a Store, for the commands of a key. */
  hurry?(key: SemaphoreKey): boolean;
  /** As `marksHandOver` of a Store. */
  readonly marksHandOver?: boolean | undefined;
  /** The same at once: stores inside this process have it. */
  executeSync?(key: SemaphoreKey, command: SemaphoreCommand): SemaphoreAnswer;
  /** For a store of several parts that fail by themselves: the part that decides on this key; "" if it does not know. */
  partOf?(key: SemaphoreKey): string;
  /** The channel on which this process can be notified about a key; "" = none. */
  channelOf(key: SemaphoreKey): string;
  /** Begins to listen for notifications about a key. */
  listen(key: SemaphoreKey, listener: NotificationListener): Listening;
}

/** Semaphores of a store inside the process: it answers at once, and notifies without a channel. */
export interface SyncSemaphoreStore extends SemaphoreStore {
  /** As SemaphoreStore's own. */
  execute(key: SemaphoreKey, command: SemaphoreCommand): Promise<SemaphoreAnswer>;
  /** The same at once. */
  executeSync(key: SemaphoreKey, command: SemaphoreCommand): SemaphoreAnswer;
  /** Always "": notifications need no channel. */
  channelOf(): string;
  /** Keys that are held or waited for, or have their own limit. */
  readonly size: number;
}

/** The owner of the waiter that has this id. */
export function ownerOf(id: string): string {
  return id.slice(0, id.indexOf("."));
}

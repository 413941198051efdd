/** Sends the commands of one semaphore to the store: with its terms, within its deadline, by the store's health. */
import {
  type CommandEntry,
  FREES_PERMITS,
  SEMAPHORE_VERBS,
  type SemaphoreAnswer,
  type SemaphoreCommand,
  type SemaphoreVerb,
  type Terms,
} from "../algorithms/semaphore/kernel.js";
import type { Closing } from "../core/closing.js";
import { monotonicMs } from "../core/clock.js";
import { asStoreError, InvalidOptionError } from "../core/errors.js";
import { InWords } from "../core/shown.js";
import type { Events } from "../events/events.js";
import type { BreakerSettings } from "../resilience/breaker.js";
import type { Asker } from "../resilience/asker.js";
import { GuardedStore } from "../resilience/guarded-store.js";
import { healthOf } from "../resilience/store-health.js";
import type { SemaphoreCounts } from "./counts.js";
import type { SemaphoreKey, SemaphoreStore } from "../stores/semaphore-store.js";
import type { Submitted } from "../stores/hand-over.js";
import type { Store } from "../stores/store.js";

/** A semaphore's key, with the words of the caller, which no store sees. */
export interface CallerKey extends SemaphoreKey {
  readonly key: string;
}

export interface CallerOptions {
  readonly store: Store;
  readonly semaphores: SemaphoreStore;
  readonly keyspace: string;
  readonly limit: number;
  readonly terms: Terms;
  readonly timeoutMs: number;
  readonly breaker: BreakerSettings | undefined;
  readonly events: Events;
  readonly counts: SemaphoreCounts;
  readonly closing: Closing;
}

export interface CommandOptions {
  readonly channel?: string;
  /** Default: the semaphore's own. */
  readonly limit?: number;
  /** Whether it asks past an open breaker too; default: renewals and releases do. */
  readonly always?: boolean;
  /** Takes an answer that comes after the deadline. */
  readonly late?: (answer: SemaphoreAnswer) => void;
}

interface SemaphoreCall extends Submitted {
  readonly key: SemaphoreKey;
  readonly command: SemaphoreCommand;
}

/** What is held or waited for must not wait for a breaker's probe: its lease would end. */
const ASKED_ALWAYS: ReadonlySet<SemaphoreVerb> = new Set([
  SEMAPHORE_VERBS.renew,
  SEMAPHORE_VERBS.release,
]);
const ACQUIRING: ReadonlySet<SemaphoreVerb> = new Set([
  SEMAPHORE_VERBS.acquire,
  SEMAPHORE_VERBS.tryAcquire,
]);

export class Caller {
  readonly store: SemaphoreStore;
  readonly terms: Terms;
  readonly events: Events;
  readonly counts: SemaphoreCounts;
  /** The semaphore's. */
  readonly closing: Closing;
  readonly #limit: number;
  readonly #guarded: GuardedStore<SemaphoreCall, SemaphoreAnswer>;

  constructor(options: CallerOptions) {
    const { store, semaphores, keyspace, limit, terms, timeoutMs, breaker, events } = options;
    const { closing } = options;
    this.store = semaphores;
    this.terms = terms;
    this.events = events;
    this.counts = options.counts;
    this.closing = closing;
    this.#limit = limit;
    this.#guarded = new GuardedStore({
      name: keyspace,
      health: healthOf(store),
      external: store.external,
      timeoutMs,
      breaker,
      events,
      closing,
      instead: "thrown",
      partOf: semaphores.partOf && (({ key }) => semaphores.partOf?.(key) ?? ""),
      marksHandOver: semaphores.marksHandOver === true,
      // A waiter needs the permit.
      hurry: ({ key, command }) =>
        FREES_PERMITS.has(command.verb) && semaphores.hurry?.(key) === true,
      submit: (call, settle) => {
        semaphores
          .execute(call.key, call.command, timeoutMs, call)
          .then(settle, (error: unknown) => {
            settle(asStoreError(error));
          });
      },
    });
  }

  /** @throws StoreTimeoutError, StoreUnavailableError */
  async call(
    key: CallerKey,
    verb: SemaphoreVerb,
    entries: readonly CommandEntry[],
    options: CommandOptions = {},
  ): Promise<SemaphoreAnswer> {
    const { channel = "", limit = this.#limit, always = ASKED_ALWAYS.has(verb), late } = options;
    const command: SemaphoreCommand = { verb, limit, terms: this.terms, channel, entries };
    const outcome = await new Promise<SemaphoreAnswer | Error>((complete, reject) => {
      const asker: Asker<SemaphoreAnswer> = {
        signal: undefined,
        atMs: monotonicMs(),
        complete,
        reject,
        late: (answer) => {
          if (!(answer instanceof Error)) late?.(answer);
        },
      };
      this.#guarded.ask({ key, command }, asker, { always });
    });
    if (!(outcome instanceof Error)) return outcome;
    // Reported here, and not as soon as the outcome is known: a hook must run in its caller's own AsyncLocalStorage.
    const cost = ACQUIRING.has(verb) ? (entries[0]?.number ?? 0) : 0;
    this.#guarded.reporter(outcome)({ error: outcome, key: key.key, cost });
    throw outcome;
  }

  /**
   * The same at once, for a store inside this process.
   *
   * @throws InvalidOptionError, StoreUnavailableError
   */
  callSync(key: CallerKey, verb: SemaphoreVerb, entries: readonly CommandEntry[]): SemaphoreAnswer {
    const command = { verb, limit: this.#limit, terms: this.terms, channel: "", entries };
    if (this.store.executeSync !== undefined) return this.store.executeSync(key, command);
    const allowed = "a store inside the process for tryAcquireSync";
    throw new InvalidOptionError("store", new InWords("an asynchronous store"), allowed);
  }

  /**
   * Ends whatever these ids hold or wait for, past an open breaker too if it is `always`. Never rejects: if the store
   * fails, their leases end it.
   */
  async leave(key: CallerKey, ids: readonly string[], always: boolean): Promise<void> {
    const entries = ids.map((id): CommandEntry => ({ id, number: 0 }));
    await this.call(key, SEMAPHORE_VERBS.release, entries, { always }).catch(() => {});
  }
}

/** Sends the commands of one semaphore to the store: with its terms, and within its deadline. */
import { asStoreError, StoreTimeoutError } from "../core/errors.js";
import { Deadlines } from "../resilience/deadlines.js";
import {
  type CommandEntry,
  SEMAPHORE_VERBS,
  type SemaphoreAnswer,
  type SemaphoreCommand,
  type SemaphoreVerb,
  type Terms,
} from "../algorithms/semaphore/kernel.js";
import type { SemaphoreKey, SemaphoreStore } from "../stores/semaphore-store.js";

export interface CallerOptions {
  readonly store: SemaphoreStore;
  /** Whether the store is outside this process, so that an answer may not come in time. */
  readonly external: boolean;
  readonly limit: number;
  readonly terms: Terms;
  readonly timeoutMs: number;
}

export interface CommandOptions {
  readonly channel?: string;
  /** Default: the semaphore's own. */
  readonly limit?: number;
  /** Takes an answer that comes after the deadline. */
  readonly late?: (answer: SemaphoreAnswer) => void;
}

export class Caller {
  readonly store: SemaphoreStore;
  readonly terms: Terms;
  readonly #external: boolean;
  readonly #limit: number;
  readonly #timeoutMs: number;
  readonly #deadlines: Deadlines<SemaphoreAnswer | Error>;

  constructor({ store, external, limit, terms, timeoutMs }: CallerOptions) {
    this.store = store;
    this.terms = terms;
    this.#external = external;
    this.#limit = limit;
    this.#timeoutMs = timeoutMs;
    this.#deadlines = new Deadlines<SemaphoreAnswer | Error>(
      timeoutMs,
      () => new StoreTimeoutError(timeoutMs),
    );
  }

  /** @throws StoreTimeoutError, StoreUnavailableError */
  call(
    key: SemaphoreKey,
    verb: SemaphoreVerb,
    entries: readonly CommandEntry[],
    { channel = "", limit = this.#limit, late }: CommandOptions = {},
  ): Promise<SemaphoreAnswer> {
    const command: SemaphoreCommand = { verb, limit, terms: this.terms, channel, entries };
    return new Promise((resolve, reject) => {
      const finish = (outcome: SemaphoreAnswer | Error): void => {
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      const asked = this.store.execute(key, command, this.#timeoutMs);
      if (!this.#external) {
        asked.then(finish, (error: unknown) => {
          finish(asStoreError(error));
        });
        return;
      }
      const pending = this.#deadlines.begin(finish);
      asked.then(
        (answer) => {
          if (!this.#deadlines.settle(pending, answer)) late?.(answer);
        },
        (error: unknown) => this.#deadlines.settle(pending, asStoreError(error)),
      );
    });
  }

  /** Ends whatever these ids hold or wait for. Never rejects: where the store fails, their leases end it. */
  async leave(key: SemaphoreKey, ids: readonly string[]): Promise<void> {
    const entries = ids.map((id): CommandEntry => ({ id, number: 0 }));
    await this.call(key, SEMAPHORE_VERBS.release, entries).catch(() => {});
  }
}

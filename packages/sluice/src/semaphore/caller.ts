/** Commands of one semaphore on their way to the store: with its terms, and within its deadline. */
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
  /** Whether the store may keep one waiting. */
  readonly external: boolean;
  readonly limit: number;
  readonly terms: Terms;
  readonly timeoutMs: number;
}

export interface CallOptions {
  readonly channel?: string;
  /** In place of the semaphore's own. */
  readonly limit?: number;
  /** Takes an answer that came past the deadline. */
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
    { channel = "", limit = this.#limit, late }: CallOptions = {},
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

  /** Ends whatever these hold or wait for. A failure is not told: then their leases end it. */
  async leave(key: SemaphoreKey, ids: readonly string[]): Promise<void> {
    const entries = ids.map((id): CommandEntry => ({ id, number: 0 }));
    await this.call(key, SEMAPHORE_VERBS.release, entries).catch(() => {});
  }
}

/** Events without a decision: calls that got none, round trips of a store, the holding of permits. */
import type { VerbName } from "../algorithms/decide.js";

/** A call of a verb that has a decision rejects without one. */
export interface CallUndecided {
  /** The limiter's namespace. */
  readonly limiter: string;
  /** What was asked. */
  readonly verb: VerbName;
  /** The key as the caller gave it: mind where you log it. */
  readonly key: string;
  /** The text of its slot, if it was given one. */
  readonly slot?: string | undefined;
  /** Units. */
  readonly cost: number;
  /** From the call to its end, in milliseconds; 0 if the store was not asked. */
  readonly durationMs: number;
  /** What it rejects with. */
  readonly error: unknown;
  /** Whether its caller gave it up, by its signal. */
  readonly aborted: boolean;
  /** Of acquire: the number of its wait, which may go on. */
  readonly wait?: number | undefined;
}

/** A store's script was answered, or has failed. */
export interface RoundTripEnded {
  /** From sending to the answer. */
  readonly durationMs: number;
  /** Undefined if it was answered. */
  readonly error: Error | undefined;
}

/** A permit is not held any more: it was released, or lost. */
export interface PermitEnded {
  /** The semaphore's keyspace. */
  readonly semaphore: string;
  /** As the caller gave it: mind where you log it. */
  readonly key: string;
  /** The key's id, as the store sees it. */
  readonly id: string;
  /** Names the permit. */
  readonly fence: number;
  /** How much of the limit it took. */
  readonly weight: number;
  /** From its grant to its end. */
  readonly heldMs: number;
}

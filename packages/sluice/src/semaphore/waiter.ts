/** One acquisition that is not decided yet. */
import type { HeldPermit } from "./permit.js";

export interface WaitRequest {
  readonly weight: number;
  /** 0 = now or never. */
  readonly maxWaitMs: number;
  readonly signal: AbortSignal | undefined;
}

/** A permit; undefined if there is none now; or why there is none at all. */
export type WaitOutcome = HeldPermit | undefined | { readonly reason: Error };

/** Waiters in one command: more would hold the server for too long. */
const WAITERS_PER_COMMAND = 200;

export class Waiter {
  readonly id: string;
  readonly weight: number;
  /** Its position in line; 0 if that is not known. */
  ticket = 0;
  /** Whether it ever was in line: from then on it waits, also while the store fails. */
  wasInLine = false;
  /** Attempts in a row to get in line that the store did not answer, and what the last one failed with. */
  failures = 0;
  failure: Error | undefined;
  /** Ends the pause before the next one. */
  endPause: () => void = () => {};
  /** Whether a command about it is under way. */
  isAsking = false;
  /** Whether it was notified during a command: that may have been executed before, so the waiter must ask again. */
  mustAskAgain = false;
  /** Whether it was ever notified. */
  wasNotified = false;
  /** Whether it has its permit: a second answer about it changes nothing. */
  isGranted = false;
  /** Undefined once it is decided. */
  #decided: ((outcome: WaitOutcome) => void) | undefined;

  constructor(id: string, weight: number, decided: (outcome: WaitOutcome) => void) {
    this.id = id;
    this.weight = weight;
    this.#decided = decided;
  }

  get isDecided(): boolean {
    return this.#decided === undefined;
  }

  /** Decides for what `makeOutcome` returns; a waiter that is decided stays so. */
  decide(makeOutcome: () => WaitOutcome): void {
    const decided = this.#decided;
    if (decided === undefined) return;
    // First: an abort by the code that `makeOutcome` runs comes too late.
    this.#decided = undefined;
    decided(makeOutcome());
  }
}

/** Parts of `waiters` that fit into one command. */
export function* chunksOf(waiters: readonly Waiter[]): Generator<readonly Waiter[]> {
  for (let first = 0; first < waiters.length; first += WAITERS_PER_COMMAND) {
    yield waiters.slice(first, first + WAITERS_PER_COMMAND);
  }
}

/** The callers of a store, and how they get the outcome. */
import { asStoreError, ClosedError, CrossSlotError, InvalidOptionError } from "../core/errors.js";

/** Who asks: one of `complete` and `reject` is called, once. */
export interface Asker<Result> {
  readonly signal: AbortSignal | undefined;
  /** When the call began, on the monotonic clock: its deadline counts from then. */
  readonly atMs: number;
  /** With the store's answer, or why there is none. */
  complete(outcome: Result | Error): void;
  /** Misuse, or what the signal says. */
  reject(reason: Error): void;
  /** With what comes after the deadline or an abort. */
  late?(outcome: Result | Error): void;
}

/** What is thrown while a call is answered is its caller's: never of those whose answers came with it, nor the store's. */
export function contain<Result>(asker: Asker<Result>, answer: () => void): void {
  try {
    answer();
  } catch (error) {
    asker.reject(error as Error);
  }
}

/** Tells who asked how it ended. */
export function pass<Result>(outcome: Result | Error, asker: Asker<Result>): void {
  if (isMisuse(outcome)) asker.reject(outcome);
  else asker.complete(outcome);
}

/** What the caller has to mend, or has ended, whatever the failure policy. */
function isMisuse(outcome: unknown): outcome is Error {
  return (
    outcome instanceof InvalidOptionError ||
    outcome instanceof CrossSlotError ||
    outcome instanceof ClosedError
  );
}

/** What a store said, as callers get it. */
export function asOutcome<Result>(outcome: Result | Error): Result | Error {
  return outcome instanceof Error ? asStoreError(outcome) : outcome;
}

/**
 * The moment at which a store gives calls to its client. Until then they wait in this process, and that says nothing of
 * the server; from then on the client and the server have them. Shared by all calls of a batch.
 */
import { inNextTurn, monotonicMs } from "../core/clock.js";

/** Hand-overs and decisions by the order in which they happened. */
let happened = 0;

/** The next place in that order. */
export function nextInOrder(): number {
  happened += 1;
  return happened;
}

export class HandOver {
  readonly order = nextInOrder();
  /** When its clock started; undefined until then. */
  startedAtMs: number | undefined;
  /** Whether one of its calls was decided. */
  isDecided = false;
  /** A store that says nothing of hand-overs has them at once, as far as anybody knows. */
  readonly isAssumed: boolean;

  /** `sinceMs` is for a hand-over that is assumed. */
  constructor(sinceMs?: number) {
    this.isAssumed = sinceMs !== undefined;
    this.startedAtMs = sinceMs;
  }

  /**
   * Its clock starts in the check phase that comes next: no client has had its turn to write before, if this one of the
   * event loop is a long one.
   */
  start(): this {
    inNextTurn(() => {
      this.startedAtMs = monotonicMs();
    });
    return this;
  }
}

/** What a store is asked, as far as it shows what becomes of it. */
export interface Submitted {
  /** Set once nobody waits for the answer any more: a store that has not handed it over yet may drop it. */
  abandoned?: boolean;
  /** Set by a store with `marksHandOver`: the last time that it was handed over; undefined while it waits for that. */
  handOver?: HandOver | undefined;
  /** Set where another one was submitted in its place. */
  carrier?: Submitted | undefined;
}

export function handOverOf(submitted: Submitted): HandOver | undefined {
  return submitted.carrier?.handOver ?? submitted.handOver;
}

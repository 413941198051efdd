/** What a store keeps of one semaphore: who holds, who waits, and the last number that it gave out. */
import { ScoreSet } from "./score-set.js";

/** A holder or a waiter. */
export interface SemaphoreMember {
  readonly id: string;
  readonly weight: number;
  /** 0 while waiting. */
  readonly fence: number;
  /** The channel on which a waiter is notified that it holds; "" = none, it asks. */
  readonly channel: string;
}

export interface SemaphoreState {
  /** The limit that setLimit stored; 0 = none, then each command's own limit counts. */
  limit: number;
  /** The last ticket or fence that was given out. */
  counter: number;
  /** Weight of all holders. */
  held: number;
  /** A store may forget the whole state from then on, in ms; 0 = nothing is stored. */
  expiryMs: number;
  /** Holders by the end of their lease. */
  readonly holders: ScoreSet;
  /** Waiters by their ticket. */
  readonly queue: ScoreSet;
  /** Waiters by the end of their lease. */
  readonly waits: ScoreSet;
  readonly members: Map<string, SemaphoreMember>;
}

export function freshState(counter = 0): SemaphoreState {
  return {
    limit: 0,
    counter,
    held: 0,
    expiryMs: 0,
    holders: new ScoreSet(),
    queue: new ScoreSet(),
    waits: new ScoreSet(),
    members: new Map(),
  };
}

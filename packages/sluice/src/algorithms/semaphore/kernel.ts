/**
 * The semaphore's decision: who holds, who waits, who is next. No clock, no I/O, no randomness; the twin of
 * semaphore.lua, in the same order. Times are integer µs, weights whole numbers.
 *
 * A holder keeps its place until its lease ends. A waiter keeps its place in line until its own, shorter lease
 * ends. Whoever frees room hands it to the head of the line, as a claim that ends soon unless the waiter
 * confirms it by asking.
 */
import { ScoreSet } from "./score-set.js";

/** What is known of a holder or a waiter. */
interface Member {
  readonly weight: number;
  /** 0 while waiting. */
  readonly fence: number;
  /** Where to tell a waiter that it holds; "" = nowhere, it asks. */
  readonly channel: string;
}

export interface SemaphoreState {
  /** What setLimit stored; 0 = nothing, the limit of the call holds. */
  limit: number;
  /** The last ticket or fence that was given out. */
  counter: number;
  /** Weight of all holders. */
  held: number;
  /** From when on the whole may be forgotten, in ms; 0 = nothing is stored. */
  expiryMs: number;
  /** Holders by the end of their lease. */
  readonly holders: ScoreSet;
  /** Waiters by their ticket. */
  readonly queue: ScoreSet;
  /** Waiters by the end of their lease. */
  readonly waits: ScoreSet;
  readonly members: Map<string, Member>;
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

/** As the wire has them. */
export const SEMAPHORE_VERBS = {
  /** Of each entry: hold, or get in line. */
  acquire: 1,
  /** Of each entry: hold, or leave it. */
  tryAcquire: 2,
  /** Of each entry, which holds under a fence or, with 0, waits: go on with it. Confirms a claim. */
  renew: 3,
  /** Of each entry: end what is held under that fence or, with 0, whatever it holds or waits for. */
  release: 4,
  setLimit: 5,
  /** Only what every verb does: let go what expired, hand over what is free. */
  inspect: 6,
} as const;
export type SemaphoreVerb = (typeof SEMAPHORE_VERBS)[keyof typeof SEMAPHORE_VERBS];

/** What one call says of leases: all µs. */
export interface Terms {
  /** Of holders. */
  readonly leaseUs: number;
  /** Of a place that was handed over, until it is confirmed. */
  readonly claimUs: number;
  /** Of waiters. */
  readonly waitUs: number;
}

export interface SemaphoreCommand {
  readonly verb: SemaphoreVerb;
  /** The limit where none is stored; of setLimit, the one to store. */
  readonly limit: number;
  readonly terms: Terms;
  /** Where to wake those who get in line by this call. */
  readonly channel: string;
  readonly entries: readonly CommandEntry[];
}

export interface CommandEntry {
  /** Unique to one acquisition; a call that is sent again finds what the first did. */
  readonly id: string;
  /** The weight to acquire; else the fence, or 0. */
  readonly number: number;
}

export const OUTCOME = {
  /** Unknown, or no longer as the caller believes. */
  gone: 0,
  /** In line; number = ticket. */
  waiting: 1,
  /** number = fence, untilUs = the end of the lease. */
  held: 2,
  /** No room now. */
  busy: 3,
  /** Can never fit; number = the limit. */
  tooHeavy: 4,
  /** Ended by this call. */
  released: 5,
} as const;

export interface EntryAnswer {
  readonly outcome: number;
  readonly number: number;
  readonly untilUs: number;
}

export interface SemaphoreAnswer {
  /** The clock that decided. */
  readonly nowUs: number;
  /** How long until a holder's lease may end; 0 = there is more to do at once; -1 = nobody holds. */
  readonly nextUs: number;
  readonly limit: number;
  readonly held: number;
  readonly waiting: number;
  /** One for each entry. */
  readonly entries: readonly EntryAnswer[];
}

/** Who was handed a place, or must ask why not. */
export interface Notification {
  readonly channel: string;
  readonly id: string;
  /** 0 = no place. */
  readonly fence: number;
  /** When the claim ends. */
  readonly untilUs: number;
}

/** Members let go or handed over by one call at most: so that none holds the server for long. */
const MOST_CHANGES = 100;
/** The fence is remembered for a day past the last lease, and a stored limit for 366 days. */
const KEPT_US = 86_400e6;
const LIMIT_KEPT_US = 366 * 86_400e6;
/** So much later than needed, for the expiry not to move with every call. */
const SLACK_US = 3600e6;

/** Executes `command` at `nowUs`: changes `state`, adds to `notifications`, answers. */
export function executeSemaphore(
  state: SemaphoreState,
  command: SemaphoreCommand,
  nowUs: number,
  notifications: Notification[],
): SemaphoreAnswer {
  const { verb, terms, channel, entries } = command;
  const { holders, queue, waits, members } = state;
  // From then on a store may have forgotten it.
  if (state.expiryMs > 0 && state.expiryMs * 1e3 <= nowUs) state.limit = 0;
  let changes = 0;

  function drop(id: string, member: Member): void {
    if (member.fence > 0) {
      holders.delete(id);
      state.held -= member.weight;
    } else {
      queue.delete(id);
      waits.delete(id);
    }
    members.delete(id);
  }

  function dropExpired(set: ScoreSet): void {
    for (let first = set.first(); first !== undefined; first = set.first()) {
      if (first.score > nowUs || changes >= MOST_CHANGES) break;
      drop(first.id, members.get(first.id) as Member);
      changes += 1;
    }
  }

  function next(): number {
    state.counter = Math.max(state.counter + 1, nowUs);
    return state.counter;
  }

  function hold(id: string, weight: number, untilUs: number): number {
    const fence = next();
    members.set(id, { weight, fence, channel: "" });
    holders.set(id, untilUs);
    state.held += weight;
    return fence;
  }

  dropExpired(holders);
  dropExpired(waits);

  const answers: EntryAnswer[] = [];
  const answer = (outcome: number, number: number, untilUs: number): void => {
    answers.push({ outcome, number, untilUs });
  };

  if (verb === SEMAPHORE_VERBS.setLimit) state.limit = command.limit;
  const limit = state.limit > 0 ? state.limit : command.limit;

  if (verb === SEMAPHORE_VERBS.release) {
    for (const { id, number: fence } of entries) {
      const member = members.get(id);
      if (member !== undefined && (fence === 0 || member.fence === fence)) {
        drop(id, member);
        answer(OUTCOME.released, 0, 0);
      } else answer(OUTCOME.gone, 0, 0);
    }
  }

  // What is free goes to the head of the line, and to nobody behind it as long as it does not fit. Only a new
  // limit makes it worth looking where nothing is free.
  while (changes < MOST_CHANGES && (state.held < limit || verb === SEMAPHORE_VERBS.setLimit)) {
    const first = queue.first();
    if (first === undefined) break;
    const { id } = first;
    const member = members.get(id) as Member;
    const untilUs = nowUs + terms.claimUs;
    let fence = 0;
    if (member.weight > limit) drop(id, member);
    else if (state.held + member.weight <= limit) {
      queue.delete(id);
      waits.delete(id);
      fence = hold(id, member.weight, untilUs);
    } else break;
    if (member.channel !== "") notifications.push({ channel: member.channel, id, fence, untilUs });
    changes += 1;
  }

  if (verb === SEMAPHORE_VERBS.acquire || verb === SEMAPHORE_VERBS.tryAcquire) {
    for (const { id, number: weight } of entries) {
      const member = members.get(id);
      if (member !== undefined && member.fence > 0) {
        holders.set(id, nowUs + terms.leaseUs);
        answer(OUTCOME.held, member.fence, nowUs + terms.leaseUs);
      } else if (weight > limit) {
        if (member !== undefined) drop(id, member);
        answer(OUTCOME.tooHeavy, limit, 0);
      } else if (member !== undefined) {
        waits.set(id, nowUs + terms.waitUs);
        answer(OUTCOME.waiting, queue.score(id), 0);
      } else if (queue.size === 0 && state.held + weight <= limit) {
        const fence = hold(id, weight, nowUs + terms.leaseUs);
        answer(OUTCOME.held, fence, nowUs + terms.leaseUs);
      } else if (verb === SEMAPHORE_VERBS.tryAcquire) {
        answer(OUTCOME.busy, 0, 0);
      } else {
        const ticket = next();
        members.set(id, { weight, fence: 0, channel });
        queue.set(id, ticket);
        waits.set(id, nowUs + terms.waitUs);
        answer(OUTCOME.waiting, ticket, 0);
      }
    }
  }

  if (verb === SEMAPHORE_VERBS.renew) {
    for (const { id, number: fence } of entries) {
      const member = members.get(id);
      if (member === undefined || (fence > 0 && member.fence !== fence)) {
        answer(OUTCOME.gone, 0, 0);
      } else if (member.fence > 0) {
        holders.set(id, nowUs + terms.leaseUs);
        answer(OUTCOME.held, member.fence, nowUs + terms.leaseUs);
      } else if (member.weight > limit) {
        drop(id, member);
        answer(OUTCOME.tooHeavy, limit, 0);
      } else {
        waits.set(id, nowUs + terms.waitUs);
        answer(OUTCOME.waiting, queue.score(id), 0);
      }
    }
  }

  // Where nothing was ever stored there is nothing to keep.
  if (state.counter > 0 || state.limit > 0) {
    const keptUs = state.limit > 0 ? LIMIT_KEPT_US : KEPT_US;
    const neededUs = nowUs + Math.max(terms.leaseUs, terms.waitUs) + keptUs;
    if (state.expiryMs * 1e3 < neededUs) {
      state.expiryMs = Math.ceil((neededUs + SLACK_US) / 1e3);
    }
  }

  const soonest = holders.first();
  let nextUs = -1;
  if (changes >= MOST_CHANGES) nextUs = 0;
  else if (soonest !== undefined) nextUs = soonest.score - nowUs;
  return { nowUs, nextUs, limit, held: state.held, waiting: queue.size, entries: answers };
}

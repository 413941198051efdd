/**
 * The semaphore's decision: who holds, who waits, who is next. No clock, no I/O, no randomness. The twin of
 * kernel.lua: the same names in the same order. Times are integer µs, weights whole numbers.
 *
 * A holder keeps its permit until its lease ends. A waiter keeps its position in line until its own, shorter lease ends. A
 * release hands the free room to the head of the line, as a claim: it ends soon unless the waiter confirms it by a command.
 */
import type { ScoreSet } from "./score-set.js";
import type { SemaphoreMember, SemaphoreState } from "./state.js";

/** What a command does, by its number on the wire. */
export const SEMAPHORE_VERBS = {
  /** Each entry holds, or gets in line. */
  acquire: 1,
  /** Each entry holds, or is refused. */
  tryAcquire: 2,
  /** Extends each entry: the permit of that fence or, with 0, whatever its id has. Confirms a claim. */
  renew: 3,
  /** Ends each entry: the permit of that fence or, with 0, whatever its id holds or waits for. */
  release: 4,
  setLimit: 5,
  /** Does only what every verb does: drops what has expired, hands over what is free. */
  inspect: 6,
  /** Ends the permit with each entry's fence, whichever id holds it. */
  revoke: 7,
  /** Lists holders in the order of their fences, from behind the first entry's number on: as many as there are entries. */
  holders: 8,
  /** The same for waiters, in the order of their tickets. */
  waiters: 9,
} as const;
/** The number of a semaphore's verb on the wire. */
export type SemaphoreVerb = (typeof SEMAPHORE_VERBS)[keyof typeof SEMAPHORE_VERBS];

/** The verbs that make room: a waiter needs it, even if whoever asked has given up. */
export const FREES_PERMITS: ReadonlySet<number> = new Set([
  SEMAPHORE_VERBS.release,
  SEMAPHORE_VERBS.revoke,
]);

/** How long leases are in one command: all µs. */
export interface Terms {
  /** A holder's. */
  readonly leaseUs: number;
  /** A claim's: how long a handed-over permit waits for its confirmation. */
  readonly claimUs: number;
  /** A waiter's. */
  readonly waitUs: number;
}

/** What a semaphore asks a store to do for one key. */
export interface SemaphoreCommand {
  /** What is to be done. */
  readonly verb: SemaphoreVerb;
  /** Applies if no limit is stored; setLimit stores it. */
  readonly limit: number;
  /** How long leases, claims and waits last. */
  readonly terms: Terms;
  /** The channel on which waiters that get in line by this command are notified. */
  readonly channel: string;
  /** Whom it is done to. */
  readonly entries: readonly CommandEntry[];
}

/** One waiter or permit that a command names. */
export interface CommandEntry {
  /** Unique to one acquisition: a command that is sent twice finds what it did the first time. */
  readonly id: string;
  /** The weight to acquire; else the fence, or 0. */
  readonly number: number;
}

export const OUTCOME = {
  /** Unknown, or under another fence. */
  gone: 0,
  /** In line; number = ticket. */
  waiting: 1,
  /** number = fence, untilUs = the end of the lease. */
  held: 2,
  /** No room now. */
  busy: 3,
  /** Can never fit; number = the limit. */
  tooHeavy: 4,
  /** This command ended it. */
  released: 5,
} as const;

/** What became of one entry of a command. */
export interface EntryAnswer {
  /** One of the numbers of OUTCOME: whether it is held, waits or is gone. In a list its weight; 0 = there are no more. */
  readonly outcome: number;
  /** Its position in the line, or its fence. */
  readonly number: number;
  /** When it ends unless it is renewed, by the store's clock, in µs. */
  readonly untilUs: number;
}

/** What a store answers to a semaphore's command. */
export interface SemaphoreAnswer {
  /** The time at which the command was executed, by the store's clock. */
  readonly nowUs: number;
  /** How long until a holder's lease may end; 0 = there is more to do at once; -1 = there is no holder. */
  readonly nextUs: number;
  /** The limit that holds for the key. */
  readonly limit: number;
  /** The weight that is held. */
  readonly held: number;
  /** How many wait in line. */
  readonly waiting: number;
  /** One for each entry. */
  readonly entries: readonly EntryAnswer[];
}

/** A waiter was handed a permit, or must ask why not. */
export interface Notification {
  /** The channel on which it was published. */
  readonly channel: string;
  /** The waiter that is notified. */
  readonly id: string;
  /** 0 = no permit. */
  readonly fence: number;
  /** When the claim ends. */
  readonly untilUs: number;
}

/** The most that one command drops or hands over: more would block the server for too long. */
const MOST_CHANGES = 100;
/** The fence is remembered for a day past the last lease, and a stored limit for 366 days. */
const KEPT_US = 86_400e6;
const LIMIT_KEPT_US = 366 * 86_400e6;
/** The expiry is set so much later than needed, or it would move, and be written, with every command. */
const SLACK_US = 3600e6;

/** One command while it is executed. */
interface Execution {
  readonly state: SemaphoreState;
  readonly command: SemaphoreCommand;
  readonly nowUs: number;
  readonly notifications: Notification[];
  readonly answers: EntryAnswer[];
  /** The limit that counts. */
  limit: number;
  /** Members dropped or handed a permit so far. */
  changes: number;
}

/** Executes `command` at `nowUs`: changes `state`, adds to `notifications`, answers. */
export function executeSemaphore(
  state: SemaphoreState,
  command: SemaphoreCommand,
  nowUs: number,
  notifications: Notification[],
): SemaphoreAnswer {
  const { verb, limit } = command;
  // A store may have forgotten it from then on: one that has not must answer the same.
  if (state.expiryMs > 0 && state.expiryMs * 1e3 <= nowUs) state.limit = 0;
  const run: Execution = {
    state,
    command,
    nowUs,
    notifications,
    answers: [],
    limit,
    changes: 0,
  };
  dropExpired(run, state.holders);
  dropExpired(run, state.waits);
  if (verb === SEMAPHORE_VERBS.setLimit) state.limit = limit;
  if (state.limit > 0) run.limit = state.limit;
  if (verb === SEMAPHORE_VERBS.release) releaseEntries(run);
  if (verb === SEMAPHORE_VERBS.revoke) revokeEntries(run);
  handOver(run);
  if (verb === SEMAPHORE_VERBS.acquire || verb === SEMAPHORE_VERBS.tryAcquire) acquireEntries(run);
  if (verb === SEMAPHORE_VERBS.renew) renewEntries(run);
  if (verb === SEMAPHORE_VERBS.holders || verb === SEMAPHORE_VERBS.waiters) listEntries(run);
  keepState(run);
  return replyOf(run);
}

/** If the caller names a fence, only the member that holds under it. */
function getBy({ state }: Execution, id: string, fence: number): SemaphoreMember | undefined {
  const member = state.members.get(id);
  return fence === 0 || member?.fence === fence ? member : undefined;
}

/** Begins the lease of a holder or a waiter again, and answers that it goes on. */
function extend(run: Execution, { id, fence }: SemaphoreMember): void {
  const { state, command, nowUs } = run;
  if (fence > 0) {
    const untilUs = nowUs + command.terms.leaseUs;
    state.holders.set(id, untilUs);
    answer(run, OUTCOME.held, fence, untilUs);
  } else {
    state.waits.set(id, nowUs + command.terms.waitUs);
    answer(run, OUTCOME.waiting, state.queue.score(id), 0);
  }
}

function leaveLine({ state }: Execution, id: string): void {
  state.queue.delete(id);
  state.waits.delete(id);
}

function drop(run: Execution, member: SemaphoreMember): void {
  const { state } = run;
  const { id, weight, fence } = member;
  if (fence > 0) {
    state.holders.delete(id);
    state.held -= weight;
  } else leaveLine(run, id);
  state.members.delete(id);
}

function dropExpired(run: Execution, leases: ScoreSet): void {
  const { members } = run.state;
  for (let first = leases.first(); first !== undefined; first = leases.first()) {
    if (first.score > run.nowUs || run.changes >= MOST_CHANGES) break;
    drop(run, members.get(first.id) as SemaphoreMember);
    run.changes += 1;
  }
}

function nextNumber({ state, nowUs }: Execution): number {
  state.counter = Math.max(state.counter + 1, nowUs);
  return state.counter;
}

function hold(run: Execution, id: string, weight: number, untilUs: number): number {
  const { state } = run;
  const fence = nextNumber(run);
  state.members.set(id, { id, weight, fence, channel: "" });
  state.holders.set(id, untilUs);
  state.held += weight;
  return fence;
}

function answer({ answers }: Execution, outcome: number, number: number, untilUs: number): void {
  answers.push({ outcome, number, untilUs });
}

function releaseEntries(run: Execution): void {
  for (const { id, number: fence } of run.command.entries) {
    const member = getBy(run, id, fence);
    if (member !== undefined) {
      drop(run, member);
      answer(run, OUTCOME.released, 0, 0);
    } else answer(run, OUTCOME.gone, 0, 0);
  }
}

function revokeEntries(run: Execution): void {
  const { entries } = run.command;
  const fences = new Map(
    [...run.state.members.values()]
      .filter(({ fence }) => fence > 0)
      .map((member) => [member.fence, member]),
  );
  for (const { number: fence } of entries) {
    const member = fences.get(fence);
    if (member !== undefined) {
      fences.delete(fence);
      drop(run, member);
      answer(run, OUTCOME.released, 0, 0);
    } else answer(run, OUTCOME.gone, 0, 0);
  }
}

/**
 * Gives what is free to the head of the line. While the head does not fit, no waiter behind it gets anything, or a heavy
 * waiter would starve. If nothing is free, only a new limit makes it worth looking: it may rule out the head.
 */
function handOver(run: Execution): void {
  const { state, command, nowUs, notifications, limit } = run;
  const { verb, terms } = command;
  while (run.changes < MOST_CHANGES && (state.held < limit || verb === SEMAPHORE_VERBS.setLimit)) {
    const first = state.queue.first();
    if (first === undefined) break;
    const member = state.members.get(first.id) as SemaphoreMember;
    const { id, weight, channel } = member;
    const untilUs = nowUs + terms.claimUs;
    let fence = 0;
    if (weight > limit) drop(run, member);
    else if (state.held + weight <= limit) {
      leaveLine(run, id);
      fence = hold(run, id, weight, untilUs);
    } else break;
    if (channel !== "") notifications.push({ channel, id, fence, untilUs });
    run.changes += 1;
  }
}

function acquireEntries(run: Execution): void {
  const { state, command, nowUs, limit } = run;
  const { verb, terms, channel } = command;
  for (const { id, number: weight } of command.entries) {
    const member = state.members.get(id);
    if (member !== undefined && member.fence > 0) {
      extend(run, member);
    } else if (weight > limit) {
      if (member !== undefined) drop(run, member);
      answer(run, OUTCOME.tooHeavy, limit, 0);
    } else if (member !== undefined) {
      extend(run, member);
    } else if (state.queue.size === 0 && state.held + weight <= limit) {
      const fence = hold(run, id, weight, nowUs + terms.leaseUs);
      answer(run, OUTCOME.held, fence, nowUs + terms.leaseUs);
    } else if (verb === SEMAPHORE_VERBS.tryAcquire) {
      answer(run, OUTCOME.busy, 0, 0);
    } else {
      const ticket = nextNumber(run);
      state.members.set(id, { id, weight, fence: 0, channel });
      state.queue.set(id, ticket);
      state.waits.set(id, nowUs + terms.waitUs);
      answer(run, OUTCOME.waiting, ticket, 0);
    }
  }
}

function renewEntries(run: Execution): void {
  for (const { id, number: fence } of run.command.entries) {
    const member = getBy(run, id, fence);
    if (member === undefined) {
      answer(run, OUTCOME.gone, 0, 0);
    } else if (member.fence > 0) {
      extend(run, member);
    } else if (member.weight > run.limit) {
      drop(run, member);
      answer(run, OUTCOME.tooHeavy, run.limit, 0);
    } else {
      extend(run, member);
    }
  }
}

function listEntries(run: Execution): void {
  const { state, command } = run;
  const { verb, entries } = command;
  const holds = verb === SEMAPHORE_VERBS.holders;
  const from = entries[0]?.number ?? 0;
  const found = [...state.members.values()]
    .filter(({ fence }) => fence > 0 === holds)
    .map(({ id, weight, fence }) => {
      const untilUs = holds ? state.holders.score(id) : 0;
      return { weight, number: holds ? fence : state.queue.score(id), untilUs };
    })
    .filter(({ number }) => number > from)
    .sort((a, b) => a.number - b.number);
  entries.forEach((_, i) => {
    const { weight, number, untilUs } = found[i] ?? { weight: 0, number: 0, untilUs: 0 };
    answer(run, weight, number, untilUs);
  });
}

/** Moves the time after which the state may be forgotten; if nothing was ever stored, there is none. */
function keepState({ state, command, nowUs }: Execution): void {
  if (state.counter === 0 && state.limit === 0) return;
  const { leaseUs, waitUs } = command.terms;
  const keptUs = state.limit > 0 ? LIMIT_KEPT_US : KEPT_US;
  const neededUs = nowUs + Math.max(leaseUs, waitUs) + keptUs;
  if (state.expiryMs * 1e3 < neededUs) state.expiryMs = Math.ceil((neededUs + SLACK_US) / 1e3);
}

function replyOf({ state, nowUs, answers, limit, changes }: Execution): SemaphoreAnswer {
  const soonest = state.holders.first();
  let nextUs = -1;
  if (changes >= MOST_CHANGES) nextUs = 0;
  else if (soonest !== undefined) nextUs = soonest.score - nowUs;
  return { nowUs, nextUs, limit, held: state.held, waiting: state.queue.size, entries: answers };
}

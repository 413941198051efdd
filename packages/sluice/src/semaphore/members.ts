/** Who holds and who waits for the permits of one key, and the end of all of them: for operators. */
import {
  type CommandEntry,
  type EntryAnswer,
  OUTCOME,
  SEMAPHORE_VERBS,
  type SemaphoreVerb,
} from "../algorithms/semaphore/kernel.js";
import type { Caller, CallerKey } from "./caller.js";
import type { SemaphoreUsage } from "./counts.js";

/** A permit that is held. */
export interface ListedPermit {
  /** The holder's `permit.fencingToken`. */
  readonly fencingToken: bigint;
  /** How much of the limit it takes. */
  readonly weight: number;
  /**
   * When it was given, by the store's clock, in µs since the Unix epoch. It is the token, so it is a few µs later if
   * several were given in one µs, or the server's clock was set back.
   */
  readonly sinceUs: number;
  /** When its lease ends unless the holder renews it: µs since the Unix epoch. */
  readonly untilUs: number;
}

/** A caller in line. */
export interface ListedWaiter {
  /** How much of the limit it waits for. */
  readonly weight: number;
  /** When it got in line: as `sinceUs` of a permit. */
  readonly sinceUs: number;
}

/** What is in use of a key, and by whom. */
export interface SemaphoreListing extends SemaphoreUsage {
  /** The 100 permits that were given first, the oldest first. */
  readonly holders: readonly ListedPermit[];
  /** The first 100 in line, the head first. */
  readonly waiters: readonly ListedWaiter[];
}

/** Members in one command: more would hold the server for too long. */
const PAGE = 100;

/** @throws StoreUnavailableError, StoreTimeoutError */
export async function listMembers(caller: Caller, key: CallerKey): Promise<SemaphoreListing> {
  // Two commands: others may come between, so what is held is what the first says.
  const [holding, inLine] = await Promise.all([
    caller.call(key, SEMAPHORE_VERBS.holders, pageAfter(0)),
    caller.call(key, SEMAPHORE_VERBS.waiters, pageAfter(0)),
  ]);
  const { limit, held } = holding;
  const { waiting } = inLine;
  return {
    limit,
    held,
    waiting,
    holders: listed(holding.entries).map(({ outcome: weight, number, untilUs }) => ({
      fencingToken: BigInt(number),
      weight,
      sinceUs: number,
      untilUs,
    })),
    waiters: listed(inLine.entries).map(({ outcome: weight, number: sinceUs }) => ({
      weight,
      sinceUs,
    })),
  };
}

/**
 * Ends all permits that are held now; whose turn it is gets theirs. Resolves to how many it ended.
 *
 * @throws StoreUnavailableError, StoreTimeoutError: then some may be ended
 */
export async function revokeAll(caller: Caller, key: CallerKey): Promise<number> {
  const fences: number[] = [];
  // Listed first, so that a waiter that gets the permit of an ended one is not ended too.
  for (let most = Number.POSITIVE_INFINITY; fences.length < most; ) {
    const page = pageAfter(fences.at(-1) ?? 0);
    const { held, entries } = await caller.call(key, SEMAPHORE_VERBS.holders, page);
    if (fences.length === 0) most = held;
    const found = listed(entries);
    fences.push(...found.map(({ number }) => number));
    if (found.length < PAGE) break;
  }
  let ended = 0;
  for (let at = 0; at < fences.length; at += PAGE) {
    const entries = fences.slice(at, at + PAGE).map(entryOf);
    ended += await revoked(caller, key, entries);
  }
  return ended;
}

async function revoked(
  caller: Caller,
  key: CallerKey,
  entries: readonly CommandEntry[],
): Promise<number> {
  const verb: SemaphoreVerb = SEMAPHORE_VERBS.revoke;
  const answer = await caller.call(key, verb, entries);
  return answer.entries.filter(({ outcome }) => outcome === OUTCOME.released).length;
}

/** The verbs of lists and `revoke` go by numbers; a service wants a word for the id. */
function entryOf(number: number): CommandEntry {
  return { id: "-", number };
}

function pageAfter(number: number): readonly CommandEntry[] {
  return Array.from({ length: PAGE }, () => entryOf(number));
}

function listed(entries: readonly EntryAnswer[]): readonly EntryAnswer[] {
  return entries.filter(({ outcome: weight }) => weight > 0);
}

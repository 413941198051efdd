/**
 * Permits whose holder is elsewhere: a service takes one for a client that cannot renew it by this library, and renews and
 * releases it on request, in any process.
 */
import {
  type EntryAnswer,
  OUTCOME,
  SEMAPHORE_VERBS,
  type SemaphoreVerb,
} from "../algorithms/semaphore/kernel.js";
import { InvalidOptionError } from "../core/errors.js";
import { withoutText } from "../core/shown.js";
import { decodeTicket, encodeTicket } from "../core/ticket.js";
import { HeldPermit, type Permit } from "./permit.js";
import { quotaOfSemaphore } from "./semaphore-class.js";
import type { Semaphore } from "./semaphore.js";

/** A permit that is renewed by the holder of its ticket. */
export interface LentPermit {
  /** Goes to `renewLent` and `releaseLent` of any semaphore with the same options. It holds no key. */
  readonly ticket: string;
  /** As the permit's own. */
  readonly fencingToken: bigint;
  /** The lease ends then unless it is renewed, by the store's clock: integer µs since the Unix epoch. */
  readonly expiresAtUs: number;
  /** The lease, in ms: renew it well before it is over, in a third of it. */
  readonly leaseMs: number;
}

interface Ticket {
  /** Of the key. */
  readonly key: string;
  /** Of the permit. */
  readonly id: string;
  readonly fence: number;
}

const MOST_CHARACTERS = 16_384;

/**
 * Hands a permit over to the holder of its ticket: this process renews it once more, and then no longer; `release` of it
 * does nothing any more, and `lost` never fires.
 *
 * @throws LeaseLostError if it was lost already; StoreUnavailableError, StoreTimeoutError: it is still this process's
 * @example
 * import { lendPermit, releaseLent, renewLent, Semaphore } from "sluice";
 * const semaphore = new Semaphore({ limit: 1, leaseDuration: "10s" });
 * const { ticket, leaseMs } = await lendPermit(await semaphore.acquire("k"));
 * console.log(leaseMs, (await renewLent(semaphore, ticket)) !== undefined); // 10000 true
 * console.log(await releaseLent(semaphore, ticket), await releaseLent(semaphore, ticket)); // true false
 * await semaphore.close();
 */
export async function lendPermit(permit: Permit): Promise<LentPermit> {
  if (!(permit instanceof HeldPermit)) {
    throw new InvalidOptionError("permit", withoutText(permit), "a permit that a semaphore gave");
  }
  const { key, id, fence, expiresAtUs, leaseMs } = await permit.lend();
  const ticket = encodeTicket([key, id, fence]);
  return { ticket, fencingToken: permit.fencingToken, expiresAtUs, leaseMs };
}

/**
 * Holds a lent permit for another lease: when that ends, in integer µs since the Unix epoch; undefined if the permit is
 * lost, because its lease had ended or it was released.
 *
 * @throws InvalidOptionError, StoreUnavailableError, StoreTimeoutError, ClosedError
 * @example
 * import { lendPermit, releaseLent, renewLent, Semaphore } from "sluice";
 * const semaphore = new Semaphore({ limit: 1 });
 * const { ticket, expiresAtUs } = await lendPermit(await semaphore.acquire("k"));
 * const untilUs = (await renewLent(semaphore, ticket)) ?? 0;
 * console.log(untilUs >= expiresAtUs, await releaseLent(semaphore, ticket)); // true true
 * await semaphore.close();
 */
export async function renewLent(semaphore: Semaphore, ticket: string): Promise<number | undefined> {
  const entry = await askFor(semaphore, ticket, SEMAPHORE_VERBS.renew);
  return entry?.outcome === OUTCOME.held ? entry.untilUs : undefined;
}

/**
 * Gives a lent permit to the next in line; true if it was still held.
 *
 * @throws InvalidOptionError, StoreUnavailableError, StoreTimeoutError, ClosedError
 * @example
 * import { lendPermit, releaseLent, Semaphore } from "sluice";
 * const semaphore = new Semaphore({ limit: 1 });
 * const { ticket } = await lendPermit(await semaphore.acquire("k"));
 * console.log(await releaseLent(semaphore, ticket), await releaseLent(semaphore, ticket)); // true false
 * await semaphore.close();
 */
export async function releaseLent(semaphore: Semaphore, ticket: string): Promise<boolean> {
  const entry = await askFor(semaphore, ticket, SEMAPHORE_VERBS.release);
  return entry?.outcome === OUTCOME.released;
}

async function askFor(
  semaphore: Semaphore,
  text: string,
  verb: SemaphoreVerb,
): Promise<EntryAnswer | undefined> {
  const isObject = typeof semaphore === "object" && (semaphore as unknown) !== null;
  const known = isObject ? quotaOfSemaphore(semaphore) : undefined;
  if (known === undefined) {
    throw new InvalidOptionError("semaphore", withoutText(semaphore), "a Semaphore");
  }
  semaphore.closed.throwIfAborted();
  const { key, id, fence } = readTicket(text);
  const entries = [{ id, number: fence }];
  const { keyspace, caller } = known;
  const answer = await caller.call({ keyspace, id: key, key: "" }, verb, entries);
  return answer.entries[0];
}

/** @throws InvalidOptionError */
function readTicket(text: unknown): Ticket {
  const refuse = (): never => {
    throw new InvalidOptionError("ticket", withoutText(text), "the ticket of a lent permit");
  };
  const value = decodeTicket(text, MOST_CHARACTERS);
  if (!Array.isArray(value) || value.length !== 3) return refuse();
  const [key, id, fence] = value as readonly unknown[];
  // A fence of 0 would match any permit of the id.
  const isGood =
    typeof key === "string" &&
    key !== "" &&
    typeof id === "string" &&
    /^[\w.-]{1,128}$/.test(id) &&
    Number.isSafeInteger(fence) &&
    (fence as number) > 0;
  return isGood ? { key, id, fence: fence as number } : refuse();
}

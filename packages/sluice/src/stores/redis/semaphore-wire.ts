/** The semaphore script's arguments and reply; see scripts/semaphore.lua for both. */
import { StoreUnavailableError } from "../../core/errors.js";
import { keyNameOf } from "../../core/identity.js";
import {
  type EntryAnswer,
  SEMAPHORE_VERBS,
  type SemaphoreAnswer,
  type SemaphoreCommand,
  type SemaphoreVerb,
} from "../../algorithms/semaphore/kernel.js";
import type { SemaphoreKey } from "../semaphore-store.js";
import { WRONG_FORMAT, WRONG_TYPE } from "./wire.js";

/** A command and the semaphore that it is for. */
export interface KeyedCommand {
  readonly key: SemaphoreKey;
  readonly command: SemaphoreCommand;
}

/** Commands of one key that do the same are one to the server: what it reads and writes for each, it does once. */
interface Joined {
  readonly place: string;
  readonly first: KeyedCommand;
  /** Of each, by its place among all. */
  readonly members: number[];
  entries: number;
}

/** Commands as they are sent: to be decoded by the same. */
export interface EncodedSemaphores {
  readonly keys: readonly string[];
  readonly args: readonly string[];
  readonly joined: readonly Joined[];
}

/** Numbers of the reply for a command before its entries, and for each entry. */
const HEAD = 5;
const PER_ENTRY = 3;

/** `nowUs` is the injected clock's time, undefined for the server's own. */
export function encodeSemaphores(
  commands: readonly KeyedCommand[],
  nowUs: number | undefined,
): EncodedSemaphores {
  const { keys, joined } = joinedOf(commands);
  const args = [nowUs === undefined ? "" : String(nowUs)];
  for (const { place, first, members, entries } of joined) {
    const { verb, limit, terms, channel } = first.command;
    args.push(place, String(verb), String(limit));
    args.push(String(terms.leaseUs), String(terms.claimUs), String(terms.waitUs), channel);
    args.push(String(entries));
    for (const i of members) {
      for (const { id, number } of (commands[i] as KeyedCommand).command.entries) {
        args.push(id, String(number));
      }
    }
  }
  return { keys, args, joined };
}

/** Each key's commands in their order; a key's last one takes in the next, if that does the same. */
function joinedOf(commands: readonly KeyedCommand[]): {
  readonly keys: readonly string[];
  readonly joined: readonly Joined[];
} {
  const lastOf = new Map<string, Joined>();
  const joined: Joined[] = [];
  for (let i = 0; i < commands.length; i++) {
    const each = commands[i] as KeyedCommand;
    const name = keyNameOf(each.key.keyspace, each.key.id);
    const last = lastOf.get(name);
    const entries = each.command.entries.length;
    if (last !== undefined && mayJoin(last, each.command)) {
      last.members.push(i);
      last.entries += entries;
      continue;
    }
    const place = last?.place ?? String(lastOf.size + 1);
    const own = { place, first: each, members: [i], entries };
    lastOf.set(name, own);
    joined.push(own);
  }
  return { keys: [...lastOf.keys()], joined };
}

/** Those that do the same to each entry, regardless of the others. */
const ENTRY_BY_ENTRY: ReadonlySet<SemaphoreVerb> = new Set([
  SEMAPHORE_VERBS.acquire,
  SEMAPHORE_VERBS.tryAcquire,
  SEMAPHORE_VERBS.renew,
  SEMAPHORE_VERBS.release,
  SEMAPHORE_VERBS.revoke,
]);

function mayJoin({ first }: Joined, command: SemaphoreCommand): boolean {
  const { verb, limit, terms, channel } = first.command;
  return (
    verb === command.verb &&
    ENTRY_BY_ENTRY.has(verb) &&
    limit === command.limit &&
    channel === command.channel &&
    terms.leaseUs === command.terms.leaseUs &&
    terms.claimUs === command.terms.claimUs &&
    terms.waitUs === command.terms.waitUs
  );
}

/** What became of each command. */
export function decodeSemaphores(
  commands: readonly KeyedCommand[],
  joined: readonly Joined[],
  reply: unknown,
): readonly (SemaphoreAnswer | Error)[] {
  // Some clients return integers as text, or as bigint.
  const numbers = Array.isArray(reply) ? reply.map(Number) : [Number.NaN];
  const [nowUs = 0] = numbers;
  let at = 1;
  const outcomes = new Array<SemaphoreAnswer | Error>(commands.length);
  for (const { first, members } of joined) {
    const failure = numbers[at];
    if (failure !== 0) {
      at += 1;
      for (const i of members) outcomes[i] = errorFor(failure, first.key);
      continue;
    }
    const [, nextUs = 0, limit = 0, held = 0, waiting = 0] = numbers.slice(at, at + HEAD);
    at += HEAD;
    for (const i of members) {
      const entries: EntryAnswer[] = [];
      for (let k = (commands[i] as KeyedCommand).command.entries.length; k > 0; k--) {
        const outcome = numbers[at] ?? 0;
        entries.push({ outcome, number: numbers[at + 1] ?? 0, untilUs: numbers[at + 2] ?? 0 });
        at += PER_ENTRY;
      }
      outcomes[i] = { nowUs, nextUs, limit, held, waiting, entries };
    }
  }
  if (at === numbers.length && !numbers.some(Number.isNaN)) return outcomes;
  throw new StoreUnavailableError("the semaphore script's reply does not fit the commands");
}

function errorFor(failure: number | undefined, { keyspace }: SemaphoreKey): Error {
  const found =
    failure === WRONG_TYPE
      ? "value of another type, not written by Sluice"
      : "state of a format that this version does not know";
  if (failure === WRONG_TYPE || failure === WRONG_FORMAT) {
    return new StoreUnavailableError(`a key of ${keyspace} holds a ${found}`, { ofKey: true });
  }
  return new StoreUnavailableError("the semaphore script's reply does not fit the commands");
}

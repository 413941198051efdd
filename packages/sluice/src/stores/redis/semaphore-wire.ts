/** The semaphore script's arguments and reply; see scripts/semaphore.lua for both. */
import { StoreUnavailableError } from "../../core/errors.js";
import { keyNameOf } from "../../core/identity.js";
import type {
  EntryAnswer,
  SemaphoreAnswer,
  SemaphoreCommand,
} from "../../algorithms/semaphore/kernel.js";
import type { SemaphoreKey } from "../semaphore-store.js";
import { WRONG_FORMAT, WRONG_TYPE } from "./wire.js";

/** A command and the semaphore that it is for. */
export interface KeyedCommand {
  readonly key: SemaphoreKey;
  readonly command: SemaphoreCommand;
}

/** Numbers of the reply for a command before its entries, and for each entry. */
const HEAD = 5;
const PER_ENTRY = 3;

/** `nowUs` is the injected clock's time, undefined for the server's own. */
export function encodeSemaphores(
  commands: readonly KeyedCommand[],
  nowUs: number | undefined,
): { readonly keys: readonly string[]; readonly args: readonly string[] } {
  const places = new Map<string, string>();
  const args = [nowUs === undefined ? "" : String(nowUs)];
  for (const { key, command } of commands) {
    const name = keyNameOf(key.keyspace, key.id);
    let place = places.get(name);
    if (place === undefined) {
      place = String(places.size + 1);
      places.set(name, place);
    }
    const { verb, limit, terms, channel, entries } = command;
    args.push(place, String(verb), String(limit));
    args.push(String(terms.leaseUs), String(terms.claimUs), String(terms.waitUs), channel);
    args.push(String(entries.length));
    for (const { id, number } of entries) args.push(id, String(number));
  }
  return { keys: [...places.keys()], args };
}

/** What became of each command. */
export function decodeSemaphores(
  commands: readonly KeyedCommand[],
  reply: unknown,
): readonly (SemaphoreAnswer | Error)[] {
  // Some clients return integers as text, or as bigint.
  const numbers = Array.isArray(reply) ? reply.map(Number) : [Number.NaN];
  const [nowUs = 0] = numbers;
  let at = 1;
  const outcomes = commands.map(({ key, command }): SemaphoreAnswer | Error => {
    const failure = numbers[at];
    if (failure !== 0) {
      at += 1;
      return errorFor(failure, key);
    }
    const [, nextUs = 0, limit = 0, held = 0, waiting = 0] = numbers.slice(at, at + HEAD);
    at += HEAD;
    const entries = command.entries.map((): EntryAnswer => {
      const [outcome = 0, number = 0, untilUs = 0] = numbers.slice(at, at + PER_ENTRY);
      at += PER_ENTRY;
      return { outcome, number, untilUs };
    });
    return { nowUs, nextUs, limit, held, waiting, entries };
  });
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

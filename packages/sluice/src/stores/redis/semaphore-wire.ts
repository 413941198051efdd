/** The semaphore script's arguments and reply; see scripts/semaphore.lua for both. */
import { StoreUnavailableError } from "../../core/errors.js";
import type {
  EntryAnswer,
  SemaphoreAnswer,
  SemaphoreCommand,
} from "../../algorithms/semaphore/kernel.js";
import type { SemaphoreKey } from "../semaphore-store.js";
import { WRONG_FORMAT, WRONG_TYPE } from "./wire.js";

/** Numbers of the reply before the entries, and of each entry. */
const HEAD = 6;
const PER_ENTRY = 3;

/** `nowUs` is the injected clock's time, undefined for the server's own. */
export function encodeSemaphore(command: SemaphoreCommand, nowUs: number | undefined): string[] {
  const { verb, limit, terms, channel, entries } = command;
  const args = [nowUs === undefined ? "" : String(nowUs), String(verb), String(limit)];
  args.push(String(terms.leaseUs), String(terms.claimUs), String(terms.waitUs), channel);
  for (const { id, number } of entries) args.push(id, String(number));
  return args;
}

export function decodeSemaphore(
  key: SemaphoreKey,
  command: SemaphoreCommand,
  reply: unknown,
): SemaphoreAnswer {
  // Some clients return integers as text, or as bigint.
  const numbers = Array.isArray(reply) ? reply.map(Number) : [Number.NaN];
  const [failure, nowUs = 0, nextUs = 0, limit = 0, held = 0, waiting = 0] = numbers;
  if (failure === WRONG_TYPE) {
    throw new StoreUnavailableError(
      `a key of ${key.keyspace} holds a value of another type, not written by Sluice`,
      { ofKey: true },
    );
  }
  if (failure === WRONG_FORMAT) {
    throw new StoreUnavailableError(
      `a key of ${key.keyspace} holds a state of a format that this version does not know`,
      { ofKey: true },
    );
  }
  const answered = (numbers.length - HEAD) / PER_ENTRY;
  const asked = command.entries.length;
  if (failure !== 0 || answered !== asked || numbers.some(Number.isNaN)) {
    throw new StoreUnavailableError("the semaphore script's reply does not fit the command");
  }
  const entries = Array.from({ length: answered }, (_, i): EntryAnswer => {
    const at = HEAD + i * PER_ENTRY;
    const [outcome = 0, number = 0, untilUs = 0] = numbers.slice(at, at + PER_ENTRY);
    return { outcome, number, untilUs };
  });
  return { nowUs, nextUs, limit, held, waiting, entries };
}

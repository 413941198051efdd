/** Commands of semaphores: read as a whole, executed by the store, and answered one by one. */
import {
  type CommandEntry,
  SEMAPHORE_VERBS,
  type SemaphoreAnswer,
  type SemaphoreCommand,
  type SemaphoreVerb,
} from "../../algorithms/semaphore/kernel.js";
import { StoreUnavailableError } from "../../core/errors.js";
import type { Submitted } from "../../stores/hand-over.js";
import type { SemaphoreKey, SemaphoreStore } from "../../stores/semaphore-store.js";
import { type CommandAnswer, MOST_CALLS, MOST_ENTRIES } from "../wire.js";
import { BadRequest, readId, readList, readName, readWhole, readWord } from "./bad-request.js";

/** A command to be executed. */
export interface ReadCommand extends Submitted {
  readonly key: SemaphoreKey;
  readonly command: SemaphoreCommand;
  readonly withinMs: number;
  readonly notify: boolean;
}

const DAY_US = 86_400e6;
const MOST_LIMIT = 1e9;
const HOUR_MS = 3_600_000;
/** Ids of waiters of one request at most. */
const MOST_IDS = 10_000;

const verbs: ReadonlySet<unknown> = new Set(Object.values(SEMAPHORE_VERBS));

/** @throws BadRequest */
export function readCommands(frames: unknown): readonly ReadCommand[] {
  let ids = 0;
  return readList("semaphores", frames, MOST_CALLS).map((frame, i) => {
    const command = readCommand(`semaphores[${i}]`, frame);
    ids += command.command.entries.length;
    if (ids > MOST_IDS) throw new BadRequest(`at most ${MOST_IDS} entries go together`);
    return command;
  });
}

function readCommand(what: string, frame: unknown): ReadCommand {
  const fields = readList(what, frame, 10);
  const [keyspace, id, verb, limit, lease, claim, wait, notify, within, texts] = fields;
  if (!verbs.has(verb)) throw new BadRequest(`${what}[2] must be the number of a verb`);
  const key = {
    keyspace: readName(`${what}[0]`, keyspace),
    id: readId(`${what}[1]`, id),
  };
  const terms = {
    leaseUs: readWhole(`${what}[4]`, lease, 1, DAY_US),
    claimUs: readWhole(`${what}[5]`, claim, 1, DAY_US),
    waitUs: readWhole(`${what}[6]`, wait, 1, DAY_US),
  };
  const command: SemaphoreCommand = {
    verb: verb as SemaphoreVerb,
    limit: readWhole(`${what}[3]`, limit, 0, MOST_LIMIT),
    terms,
    channel: "",
    entries: readEntries(`${what}[9]`, texts, verb as SemaphoreVerb),
  };
  return {
    key,
    command,
    notify: readWhole(`${what}[7]`, notify, 0, 1) === 1,
    withinMs: readWhole(`${what}[8]`, within, 0, HOUR_MS),
  };
}

function readEntries(what: string, frame: unknown, verb: SemaphoreVerb): CommandEntry[] {
  const texts = readList(what, frame, 2 * MOST_ENTRIES);
  if (texts.length % 2 !== 0) throw new BadRequest(`${what} must have a number behind each id`);
  const acquires = verb === SEMAPHORE_VERBS.acquire || verb === SEMAPHORE_VERBS.tryAcquire;
  const entries: CommandEntry[] = [];
  for (let at = 0; at < texts.length; at += 2) {
    const id = readWord(`${what}[${at}]`, texts[at]);
    const name = `${what}[${at + 1}]`;
    const number = acquires
      ? readWhole(name, texts[at + 1], 1, MOST_LIMIT)
      : readWhole(name, texts[at + 1], 0, 2 ** 53);
    entries.push({ id, number });
  }
  return entries;
}

/** Executes a command; resolves to what became of it, and never rejects. */
export async function executeCommand(
  store: SemaphoreStore | undefined,
  { key, command, notify, withinMs }: ReadCommand,
  submitted: Submitted,
): Promise<SemaphoreAnswer | Error> {
  if (store === undefined) {
    return new StoreUnavailableError("the store of the service holds no semaphores", {
      ofKey: true,
    });
  }
  try {
    const channel = notify ? store.channelOf(key) : "";
    return await store.execute(key, { ...command, channel }, withinMs, submitted);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

export function commandAnswer(answer: SemaphoreAnswer): CommandAnswer {
  const { nowUs, nextUs, limit, held, waiting, entries } = answer;
  const numbers = entries.flatMap(({ outcome, number, untilUs }) => [outcome, number, untilUs]);
  return [nowUs, nextUs, limit, held, waiting, numbers];
}

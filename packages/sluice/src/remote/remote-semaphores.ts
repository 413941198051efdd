/** Semaphores at a service: commands that wait together go together, and notices come by a request that waits for them. */
import { FREES_PERMITS } from "../algorithms/semaphore/kernel.js";
import type { SemaphoreAnswer, SemaphoreCommand } from "../algorithms/semaphore/kernel.js";
import { type Clock, systemClock } from "../core/clock.js";
import { StoreUnavailableError } from "../core/errors.js";
import { isDropped, type Submitted } from "../stores/hand-over.js";
import {
  Batcher,
  type BatcherOptions,
  handOverNow,
  type Sending,
  type SettleCall,
} from "../stores/redis/batcher.js";
import type {
  Listening,
  NotificationListener,
  SemaphoreKey,
  SemaphoreStore,
} from "../stores/semaphore-store.js";
import type { Requests } from "./requests.js";
import type { Notices } from "./notices.js";
import { type CommandFrame, STORE_PROTOCOL } from "./wire.js";
import { errorOf } from "./wire-errors.js";

export interface RemoteSemaphoresOptions {
  readonly requests: Requests;
  readonly notices: Notices;
  readonly clock: Clock | undefined;
  readonly batching: BatcherOptions;
  readonly requestTimeoutMs: number;
}

/** The service knows whom to notify: the channel only says that it should. */
const CHANNEL = "remote";
/** The most entries in one request, unless a single command has more. */
const ENTRIES_A_REQUEST = 1000;
const ENTRY_NUMBERS = 3;

/** A command that waits to be sent. What frees a permit is sent even if its caller has given up: a waiter needs it. */
class SemaphoreCall implements Submitted {
  readonly frame: CommandFrame;
  readonly submitted: Submitted;

  constructor(frame: CommandFrame, submitted: Submitted) {
    this.frame = frame;
    this.submitted = submitted;
  }

  get abandoned(): boolean {
    return isDropped(this.submitted, FREES_PERMITS.has(this.frame[2]));
  }
}

export class RemoteSemaphores implements SemaphoreStore {
  readonly clock: Clock;
  readonly marksHandOver = true;
  readonly #options: RemoteSemaphoresOptions;
  readonly #batcher: Batcher<SemaphoreCall, SemaphoreAnswer>;

  constructor(options: RemoteSemaphoresOptions) {
    this.#options = options;
    this.clock = options.clock ?? systemClock;
    this.#batcher = new Batcher((calls, settle) => this.#send(calls, settle), options.batching);
  }

  async execute(
    key: SemaphoreKey,
    command: SemaphoreCommand,
    withinMs: number,
    submitted: Submitted = {},
  ): Promise<SemaphoreAnswer> {
    const call = new SemaphoreCall(frameOf(key, command, withinMs), submitted);
    const outcome = await new Promise<SemaphoreAnswer | Error>((resolve) => {
      this.#batcher.add(call, resolve);
    });
    if (outcome instanceof Error) throw outcome;
    return outcome;
  }

  hurry(): boolean {
    this.#batcher.hurry();
    return true;
  }

  channelOf(): string {
    return CHANNEL;
  }

  listen(key: SemaphoreKey, listener: NotificationListener): Listening {
    return this.#options.notices.listen(key, listener);
  }

  #send(calls: readonly SemaphoreCall[], settle: SettleCall<SemaphoreAnswer>): Sending {
    const { requests, requestTimeoutMs } = this.#options;
    let [size, numbers] = [0, 0];
    for (const { frame } of calls) {
      numbers += frame[9].length;
      if (size > 0 && numbers > 2 * ENTRIES_A_REQUEST) break;
      size += 1;
    }
    const sent = calls.slice(0, size);
    const semaphores = sent.map(({ frame }) => frame);
    const body = JSON.stringify({ v: STORE_PROTOCOL, within: requestTimeoutMs, semaphores });
    const answer = requests.post(body);
    const handOver = handOverNow();
    for (const { submitted } of sent) submitted.handOver = handOver;
    const settled = answer.then(
      (said) => {
        const frames = (said as { semaphores?: unknown }).semaphores;
        sent.forEach((call, i) => {
          settle(i, answerOf(Array.isArray(frames) ? (frames[i] as unknown) : undefined, call));
        });
      },
      (error: unknown) => sent.forEach((_, i) => settle(i, error as Error)),
    );
    return { left: calls.map((_, i) => i).slice(size), settled };
  }
}

function frameOf(
  { keyspace, id }: SemaphoreKey,
  { verb, limit, terms, channel, entries }: SemaphoreCommand,
  withinMs: number,
): CommandFrame {
  const { leaseUs, claimUs, waitUs } = terms;
  const texts = entries.flatMap((entry) => [entry.id, entry.number]);
  const notify = channel === "" ? 0 : 1;
  return [keyspace, id, verb, limit, leaseUs, claimUs, waitUs, notify, withinMs, texts];
}

function answerOf(frame: unknown, { frame: asked }: SemaphoreCall): SemaphoreAnswer | Error {
  if (!Array.isArray(frame)) return frame === undefined ? unfit() : errorOf(frame);
  const [nowUs, nextUs, limit, held, waiting, texts] = frame as unknown[];
  const heads = [nowUs, nextUs, limit, held, waiting];
  const isRight = Array.isArray(texts) && [...heads, ...(texts as unknown[])].every(isNumber);
  const numbers = texts as readonly number[];
  if (!isRight || numbers.length !== (asked[9].length / 2) * ENTRY_NUMBERS) return unfit();
  const entries: { outcome: number; number: number; untilUs: number }[] = [];
  for (let at = 0; at < numbers.length; at += ENTRY_NUMBERS) {
    const [outcome, number, untilUs] = numbers.slice(at, at + ENTRY_NUMBERS) as [
      number,
      number,
      number,
    ];
    entries.push({ outcome, number, untilUs });
  }
  return {
    nowUs: nowUs as number,
    nextUs: nextUs as number,
    limit: limit as number,
    held: held as number,
    waiting: waiting as number,
    entries,
  };
}

function isNumber(value: unknown): boolean {
  return typeof value === "number";
}

function unfit(): StoreUnavailableError {
  return new StoreUnavailableError("the service's answer does not fit the commands");
}

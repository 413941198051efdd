/**
 * Commands of semaphores that wait together go to Redis together: those of one tick, and those that come while others
 * are under way, in script calls of bounded size. Those of one key keep their order.
 */
import { type Clock, monotonicMs } from "../../core/clock.js";
import { FREES_PERMITS, type SemaphoreAnswer } from "../../algorithms/semaphore/kernel.js";
import { isDropped, type Submitted } from "../hand-over.js";
import type { SemaphoreKey } from "../semaphore-store.js";
import {
  Batcher,
  type BatcherOptions,
  handOverNow,
  type Sending,
  type SettleCall,
} from "./batcher.js";
import type { RunScript } from "./clients/client.js";
import { semaphoreScript } from "./scripts.js";
import { decodeSemaphores, encodeSemaphores, type KeyedCommand } from "./semaphore-wire.js";
import { slotOf, tagOfId } from "./slot.js";
import { isRefused } from "./split-retry.js";

export interface SemaphoreBatchesOptions {
  readonly run: RunScript;
  readonly isCluster: boolean;
  /** Decides instead of the server's clock. */
  readonly clock: Clock | undefined;
  readonly batching: BatcherOptions;
}

/** A command that waits to be sent. What frees a permit is sent even if its caller has given up: a waiter needs it. */
class WaitingCommand implements KeyedCommand, Submitted {
  readonly key: KeyedCommand["key"];
  readonly command: KeyedCommand["command"];
  readonly submitted: Submitted;

  constructor({ key, command }: KeyedCommand, submitted: Submitted) {
    this.key = key;
    this.command = command;
    this.submitted = submitted;
  }

  get abandoned(): boolean {
    return isDropped(this.submitted, FREES_PERMITS.has(this.command.verb));
  }
}

/** The most entries in one script call, unless a single command has more: some 1 ms of the server's time. */
const MOST_ENTRIES = 64;
/** For how long after a refusal each key's commands are sent separately. */
const APART_MS = 1000;

export class SemaphoreBatches {
  readonly #options: SemaphoreBatchesOptions;
  /** By slot on a Cluster, so that a node that hangs does not hold back the others; else there is one. */
  readonly #batchers = new Map<number, Batcher<WaitingCommand, SemaphoreAnswer>>();
  #apartUntilMs = 0;

  constructor(options: SemaphoreBatchesOptions) {
    this.#options = options;
  }

  /** Sends a command, and tells `done` once what became of it. */
  submit(
    keyed: KeyedCommand,
    submitted: Submitted,
    done: (outcome: SemaphoreAnswer | Error) => void,
  ): void {
    this.#batcherFor(keyed).add(new WaitingCommand(keyed, submitted), done);
  }

  /** Sends what waits for a key, whatever is under way. */
  hurry(key: SemaphoreKey): void {
    this.#batcherFor({ key }).hurry();
  }

  #batcherFor({ key }: Pick<KeyedCommand, "key">): Batcher<WaitingCommand, SemaphoreAnswer> {
    const { isCluster, batching } = this.#options;
    const slot = isCluster ? slotOf(tagOfId(key.id)) : 0;
    let batcher = this.#batchers.get(slot);
    if (batcher === undefined) {
      batcher = new Batcher((commands, settle) => this.#send(commands, settle), {
        ...batching,
        maxBatch: Math.min(batching.maxBatch, MOST_ENTRIES),
      });
      this.#batchers.set(slot, batcher);
    }
    return batcher;
  }

  #send(commands: readonly WaitingCommand[], settle: SettleCall<SemaphoreAnswer>): Sending {
    let [size, entries] = [0, 0];
    for (const { command } of commands) {
      entries += command.entries.length;
      if (size > 0 && entries > MOST_ENTRIES) break;
      size += 1;
    }
    const places = commands.map((_, i) => i);
    const sent = places.slice(0, size);
    // While a Cluster moves a slot, it serves a script on one key wherever that is, and one on several only at times.
    const isApart = this.#options.isCluster || monotonicMs() < this.#apartUntilMs;
    const settled = isApart
      ? this.#sendApart(commands, sent, settle)
      : this.#run(commands, sent, settle);
    return { left: places.slice(size), settled };
  }

  /** Sends the commands of each key in a separate script call. */
  #sendApart(
    commands: readonly WaitingCommand[],
    places: readonly number[],
    settle: SettleCall<SemaphoreAnswer>,
  ): Promise<unknown> {
    const byKey = new Map<string, number[]>();
    for (const i of places) {
      const { keyspace, id } = (commands[i] as WaitingCommand).key;
      const name = `${keyspace}\n${id}`;
      const own = byKey.get(name);
      if (own === undefined) byKey.set(name, [i]);
      else own.push(i);
    }
    return Promise.all([...byKey.values()].map((own) => this.#run(commands, own, settle)));
  }

  /** One script call. If it is refused because of one of its keys, nothing was done, and the other keys must not suffer. */
  async #run(
    commands: readonly WaitingCommand[],
    places: readonly number[],
    settle: SettleCall<SemaphoreAnswer>,
  ): Promise<void> {
    const { run, clock } = this.#options;
    const sent = places.map((i) => commands[i] as WaitingCommand);
    const { keys, args, joined } = encodeSemaphores(sent, clock?.nowUs());
    const { sha, source } = semaphoreScript();
    try {
      const reply = run(sha, source, keys, args);
      const handOver = handOverNow();
      for (const { submitted } of sent) submitted.handOver = handOver;
      const outcomes = decodeSemaphores(sent, joined, await reply);
      outcomes.forEach((outcome, k) => settle(places[k] as number, outcome));
    } catch (error) {
      if (keys.length > 1 && isRefused(error)) {
        this.#apartUntilMs = monotonicMs() + APART_MS;
        await this.#sendApart(commands, places, settle);
      } else for (const i of places) settle(i, error as Error);
    }
  }
}

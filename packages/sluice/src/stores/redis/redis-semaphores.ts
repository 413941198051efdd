/** Semaphores in Redis: each command is one call of one script, and waiting callers are notified by a published hint. */
import { type Clock, monotonicMs, systemClock } from "../../core/clock.js";
import { semaphoreScript } from "./scripts.js";
import { keyNameOf } from "../../core/identity.js";
import type { SemaphoreAnswer, SemaphoreCommand } from "../../algorithms/semaphore/kernel.js";
import {
  type Listening,
  ownerOf,
  type SemaphoreKey,
  type SemaphoreStore,
  type NotificationListener,
} from "../semaphore-store.js";
import type { Submitted } from "../hand-over.js";
import { handOverNow } from "./batcher.js";
import type { NodeOf, RunScript } from "./clients/client.js";
import { asScriptFailure } from "./clients/index.js";
import { slotOf, tagOfId } from "./slot.js";
import { failedByMovingSlot, growingPause } from "./split-retry.js";
import { decodeSemaphore, encodeSemaphore } from "./semaphore-wire.js";
import { Subscriber } from "./subscriber.js";

export interface RedisSemaphoresOptions {
  readonly run: RunScript;
  /** Undefined until the store has connected. */
  readonly client: () => unknown;
  readonly subscriber: unknown;
  readonly isCluster: boolean;
  /** The node of a slot, where a Cluster's client shows it. */
  readonly nodeOf: NodeOf | undefined;
  /** Decides instead of the server's clock. */
  readonly clock: Clock | undefined;
  /** Names this process among all that subscribe. */
  readonly nonce: string;
}

export class RedisSemaphores implements SemaphoreStore {
  readonly clock: Clock;
  readonly marksHandOver = true;
  readonly partOf?: (key: SemaphoreKey) => string;
  readonly #options: RedisSemaphoresOptions;
  readonly #subscriber: Subscriber;
  readonly #listeners = new Map<string, NotificationListener>();

  constructor(options: RedisSemaphoresOptions) {
    const { client, subscriber, isCluster } = options;
    this.#options = options;
    this.clock = options.clock ?? systemClock;
    const { nodeOf } = options;
    if (nodeOf !== undefined) this.partOf = ({ id }) => nodeOf(slotOf(tagOfId(id)));
    this.#subscriber = new Subscriber({
      client,
      subscriber,
      sharded: isCluster,
      received: (message) => {
        const [id = "", fence, untilUs] = message.split(" ");
        const wake = { id, fence: Number(fence), untilUs: Number(untilUs) };
        this.#listeners.get(ownerOf(id))?.notified(wake);
      },
    });
  }

  async execute(
    key: SemaphoreKey,
    command: SemaphoreCommand,
    withinMs: number,
    submitted: Submitted = {},
  ): Promise<SemaphoreAnswer> {
    const { run, clock } = this.#options;
    const { sha, source } = semaphoreScript();
    // All of a place is in one key: a Cluster serves that even while it moves it.
    const keys = [keyNameOf(key.keyspace, key.id)];
    const untilMs = monotonicMs() + withinMs;
    let pause: (() => Promise<void>) | undefined;
    for (;;) {
      const args = encodeSemaphore(command, clock?.nowUs());
      try {
        const reply = run(sha, source, keys, args);
        submitted.handOver = handOverNow();
        return decodeSemaphore(key, command, await reply);
      } catch (error) {
        if (!failedByMovingSlot(error) || monotonicMs() >= untilMs) throw asScriptFailure(error);
      }
      submitted.handOver = undefined;
      pause ??= growingPause();
      await pause();
    }
  }

  channelOf(key: SemaphoreKey): string {
    if (!this.#subscriber.canSubscribe) return "";
    const { isCluster, nonce } = this.#options;
    // On a Cluster a message stays within the slot of its key, so there the channel carries the key's tag.
    return isCluster ? `${keyNameOf(key.keyspace, key.id)}!${nonce}` : `sluice:wake:${nonce}`;
  }

  listen(key: SemaphoreKey, listener: NotificationListener): Listening {
    const channel = this.channelOf(key);
    if (channel === "") return NO_MESSAGES;
    this.#listeners.set(listener.owner, listener);
    const subscription = this.#subscriber.subscribe(channel, () => {
      listener.live();
    });
    return {
      isLive: () => subscription.isLive(),
      missed: () => {
        subscription.missed();
      },
      end: () => {
        this.#listeners.delete(listener.owner);
        subscription.end();
      },
    };
  }

  close(): void {
    this.#subscriber.close();
  }
}

const NO_MESSAGES: Listening = Object.freeze({
  isLive: () => false,
  missed: () => {},
  end: () => {},
});

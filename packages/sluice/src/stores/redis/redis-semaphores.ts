/** Semaphores in Redis: commands go to one script, and waiting callers are notified by a published hint. */
import { type Clock, monotonicMs, systemClock } from "../../core/clock.js";
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
import type { NodeOf } from "./clients/client.js";
import { asScriptFailure } from "./clients/index.js";
import { slotOf, tagOfId } from "./slot.js";
import { failedByMovingSlot, growingPause } from "./split-retry.js";
import { SemaphoreBatches, type SemaphoreBatchesOptions } from "./semaphore-batches.js";
import type { Subscriber } from "./subscriber.js";

export interface RedisSemaphoresOptions extends SemaphoreBatchesOptions {
  readonly subscriber: Subscriber;
  /** The node of a slot, if a Cluster's client shows it. */
  readonly nodeOf: NodeOf | undefined;
  /** Names this process among all that subscribe. */
  readonly nonce: string;
}

export class RedisSemaphores implements SemaphoreStore {
  readonly clock: Clock;
  readonly marksHandOver = true;
  readonly partOf?: (key: SemaphoreKey) => string;
  readonly #options: RedisSemaphoresOptions;
  readonly #batches: SemaphoreBatches;
  readonly #subscriber: Subscriber;
  readonly #listeners = new Map<string, NotificationListener>();

  constructor(options: RedisSemaphoresOptions) {
    this.#options = options;
    this.#batches = new SemaphoreBatches(options);
    this.clock = options.clock ?? systemClock;
    const { nodeOf } = options;
    if (nodeOf !== undefined) this.partOf = ({ id }) => nodeOf(slotOf(tagOfId(id)));
    this.#subscriber = options.subscriber;
  }

  execute(
    key: SemaphoreKey,
    command: SemaphoreCommand,
    withinMs: number,
    submitted: Submitted = {},
  ): Promise<SemaphoreAnswer> {
    // All of a semaphore is in one key: a Cluster serves that even while it moves it.
    const untilMs = monotonicMs() + withinMs;
    let pause: (() => Promise<void>) | undefined;
    return new Promise((resolve, reject) => {
      const submit = (): void => {
        this.#batches.submit({ key, command }, submitted, (outcome) => {
          if (!(outcome instanceof Error)) resolve(outcome);
          else if (!failedByMovingSlot(outcome) || monotonicMs() >= untilMs) {
            reject(asScriptFailure(outcome));
          } else {
            submitted.handOver = undefined;
            pause ??= growingPause();
            void pause().then(submit);
          }
        });
      };
      submit();
    });
  }

  hurry(key: SemaphoreKey): boolean {
    this.#batches.hurry(key);
    return true;
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
    const live = (): void => listener.live();
    const subscription = this.#subscriber.subscribe(channel, live, (message) =>
      this.#notify(message),
    );
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

  #notify(message: string): void {
    const [id = "", fence, untilUs] = message.split(" ");
    const wake = { id, fence: Number(fence), untilUs: Number(untilUs) };
    this.#listeners.get(ownerOf(id))?.notified(wake);
  }
}

const NO_MESSAGES: Listening = Object.freeze({
  isLive: () => false,
  missed: () => {},
  end: () => {},
});

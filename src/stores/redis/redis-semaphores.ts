/** Semaphores in Redis: each command is one call of one script, and who waits is woken by a published hint. */
import { type Clock, systemClock } from "../../core/clock.js";
import { semaphoreScript } from "../../lua/compose.js";
import type { SemaphoreAnswer, SemaphoreCommand } from "../../semaphore/kernel.js";
import {
  type Listening,
  ownerOf,
  type SemaphorePlace,
  type SemaphoreStore,
  type WakeListener,
} from "../../semaphore/port.js";
import type { RunScript } from "./client.js";
import { decodeSemaphore, encodeSemaphore, semaphoreKeys } from "./semaphore-wire.js";
import { Subscriber } from "./subscriber.js";

export interface RedisSemaphoresOptions {
  readonly run: RunScript;
  readonly client: unknown;
  readonly subscriber: unknown;
  readonly isCluster: boolean;
  /** Decides instead of the server's clock. */
  readonly clock: Clock | undefined;
  /** Names this process among all that listen. */
  readonly nonce: string;
}

export class RedisSemaphores implements SemaphoreStore {
  readonly clock: Clock;
  readonly #options: RedisSemaphoresOptions;
  readonly #subscriber: Subscriber;
  readonly #listeners = new Map<string, WakeListener>();

  constructor(options: RedisSemaphoresOptions) {
    const { client, subscriber, isCluster } = options;
    this.#options = options;
    this.clock = options.clock ?? systemClock;
    this.#subscriber = new Subscriber({
      client,
      subscriber,
      sharded: isCluster,
      heard: (id) => this.#listeners.get(ownerOf(id))?.woken(id),
    });
  }

  async execute(place: SemaphorePlace, command: SemaphoreCommand): Promise<SemaphoreAnswer> {
    const { run, clock } = this.#options;
    const { sha, source } = semaphoreScript();
    const args = encodeSemaphore(command, clock?.nowUs());
    return decodeSemaphore(place, command, await run(sha, source, semaphoreKeys(place), args));
  }

  listen(place: SemaphorePlace, listener: WakeListener): Listening {
    if (!this.#subscriber.canHear) return NEVER_HEARD;
    const { isCluster, nonce } = this.#options;
    // On a Cluster a message travels within the slot of its key, so the channel carries the key's tag.
    const channel = isCluster ? `${place.space}:{${place.id}}!${nonce}` : `sluice:wake:${nonce}`;
    this.#listeners.set(listener.owner, listener);
    const subscription = this.#subscriber.subscribe(channel, () => {
      listener.live();
    });
    return {
      channel,
      isLive: () => subscription.isLive(),
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

const NEVER_HEARD: Listening = Object.freeze({
  channel: "",
  isLive: () => false,
  end: () => {},
});

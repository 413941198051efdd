/**
 * Hints that something which processes share has changed, one channel for each thing. A hint may be missed, or come without
 * a change, so its receiver asks the store.
 */
import { Subscriber } from "./subscriber.js";
import type { SubscriptionClients } from "./subscription-connection.js";

/** A user that wants to know of changes at once. */
export interface Watch {
  end(): void;
}

export class Hints {
  /** The one of the store, for all that is published. */
  readonly subscriber: Subscriber;
  readonly #byChannel = new Map<string, Set<() => void>>();

  /** @throws InvalidOptionError for a subscriber that cannot subscribe. */
  constructor(clients: SubscriptionClients) {
    this.subscriber = new Subscriber(clients);
  }

  /** On a Cluster a message stays within the slot of its key, so there the channel carries the key's tag. */
  channelOf(key: string, name: string): string {
    return this.subscriber.isSharded ? `${key}!` : name;
  }

  /**
   * Calls `hint` with each message of the channel, each time its messages begin to be received, and once soon if they are
   * received already: otherwise a change between the caller's last look and this watch would be missed.
   */
  watch(channel: string, hint: () => void): Watch {
    if (!this.subscriber.canSubscribe) return { end: () => {} };
    const hints = this.#byChannel.get(channel) ?? new Set();
    this.#byChannel.set(channel, hints);
    // A new function, so that two watches of one caller do not end each other.
    const listener = (): void => {
      hint();
    };
    hints.add(listener);
    // What was changed before messages are received is found by the one that begins to.
    const subscription = this.subscriber.subscribe(channel, listener, () => {
      for (const each of this.#byChannel.get(channel) ?? []) each();
    });
    if (subscription.isLive()) {
      queueMicrotask(() => {
        if (hints.has(listener)) listener();
      });
    }
    return {
      end: () => {
        hints.delete(listener);
        if (hints.size === 0) this.#byChannel.delete(channel);
        subscription.end();
      },
    };
  }
}

/**
 * Channels on which a message is awaited. A message is only a hint: while a channel is not received, `isLive` is false, and
 * its listeners have to ask the store instead.
 */
import { startTimer, type Timer } from "../../core/clock.js";
import { type SubscriptionClients, SubscriptionConnection } from "./subscription-connection.js";

export interface Subscription {
  isLive(): boolean;
  /** Something was published that was not received. */
  missed(): void;
  end(): void;
}

/** A channel that is wanted. */
interface Channel {
  isLive: boolean;
  /** Whether a subscription to it is under way. */
  isSubscribing: boolean;
  /** Whether it is dropped with its last subscription; a channel of the whole store is kept. */
  readonly isBrief: boolean;
  readonly received: (message: string) => void;
  /** One for each subscription: called each time the channel becomes live. */
  readonly listeners: Set<() => void>;
}

/** Between attempts to subscribe, if the server or its permissions refuse. */
const FIRST_ATTEMPT_MS = 100;
const LONGEST_ATTEMPT_MS = 30_000;
const MAX_DOUBLINGS = 10;

export class Subscriber {
  readonly #sharded: boolean;
  readonly #connection: SubscriptionConnection;
  readonly #channels = new Map<string, Channel>();
  /** Attempts to subscribe that failed one after another. */
  #failures = 0;
  /** Messages that were missed since the last one that was received. */
  #misses = 0;
  #nextAttempt: Timer | undefined;
  #isClosed = false;

  constructor(clients: SubscriptionClients) {
    this.#sharded = clients.sharded;
    this.#connection = new SubscriptionConnection(clients, {
      received: (message, name) => {
        const channel = this.#channels.get(name);
        if (channel === undefined) return;
        this.#misses = 0;
        channel.received(message);
      },
      lost: () => {
        for (const channel of this.#channels.values()) channel.isLive = false;
        // Not every client emits an event when it has recovered.
        this.#attemptLater();
      },
      recovered: () => void this.#attempt(),
    });
  }

  /** Whether there is any way to receive messages. */
  get canSubscribe(): boolean {
    return this.#connection.canSubscribe;
  }

  /** Whether channels belong to slots, so that a message stays within that of its key. */
  get isSharded(): boolean {
    return this.#sharded;
  }

  /**
   * Subscribes to a channel, and calls `live` each time its messages begin to be received. Each message goes to `received`
   * once: that of the channel's first subscription, which those behind it share. A channel that `isBrief` ends with its
   * last subscription, as those of keys do, which come and go.
   */
  subscribe(
    name: string,
    live: () => void,
    received: (message: string) => void,
    isBrief = this.#sharded,
  ): Subscription {
    const channel = this.#channels.get(name) ?? this.#add(name, received, isBrief);
    // A new function, so that two subscriptions of one caller do not end each other.
    const listener = (): void => {
      live();
    };
    channel.listeners.add(listener);
    return {
      isLive: () => channel.isLive,
      missed: () => {
        if (!channel.isLive) return;
        channel.isLive = false;
        this.#attemptLater();
        this.#misses += 1;
      },
      end: () => {
        if (!channel.listeners.delete(listener)) return;
        if (channel.listeners.size === 0 && channel.isBrief) this.#drop(name, channel);
      },
    };
  }

  /** Ends what was opened here; the user's own subscriber only loses the channels. */
  close(): void {
    this.#isClosed = true;
    this.#nextAttempt?.cancel();
    for (const [name, channel] of this.#channels) this.#drop(name, channel);
    this.#connection.close();
  }

  #add(name: string, received: (message: string) => void, isBrief: boolean): Channel {
    const channel: Channel = {
      isLive: false,
      isSubscribing: false,
      isBrief,
      received,
      listeners: new Set(),
    };
    this.#channels.set(name, channel);
    // If the last message was missed, one on this channel may be missed too.
    if (this.#misses > 0) this.#attemptLater();
    else void this.#attempt([[name, channel]]);
    return channel;
  }

  #drop(name: string, channel: Channel): void {
    this.#channels.delete(name);
    channel.isLive = false;
    this.#connection.unsubscribe(name);
  }

  /** Subscribes to what is not received; again later if that fails. */
  async #attempt(channels: Iterable<[string, Channel]> = this.#channels): Promise<void> {
    const silent = [...channels].filter(([, { isLive }]) => !isLive);
    const attempts = silent.map(([name, channel]) => this.#attemptOne(name, channel));
    const outcomes = await Promise.allSettled(attempts);
    if (outcomes.some(({ status }) => status === "rejected")) this.#attemptLater();
  }

  async #attemptOne(name: string, channel: Channel): Promise<void> {
    if (this.#isClosed || channel.isSubscribing) return;
    channel.isSubscribing = true;
    try {
      await this.#connection.subscribe(name);
    } finally {
      channel.isSubscribing = false;
    }
    if (this.#isClosed) return;
    if (this.#channels.get(name) !== channel) {
      // It was left while the client was still connecting, and had nothing to leave.
      if (!this.#channels.has(name)) this.#connection.unsubscribe(name);
      return;
    }
    channel.isLive = true;
    this.#failures = 0;
    for (const live of channel.listeners) live();
  }

  #attemptLater(): void {
    if (this.#isClosed || this.#nextAttempt !== undefined) return;
    const doublings = Math.min(this.#failures + this.#misses, MAX_DOUBLINGS);
    const ms = Math.min(FIRST_ATTEMPT_MS * 2 ** doublings, LONGEST_ATTEMPT_MS);
    this.#failures += 1;
    this.#nextAttempt = startTimer(ms, () => {
      this.#nextAttempt = undefined;
      void this.#attempt();
    });
    this.#nextAttempt.unref();
  }
}

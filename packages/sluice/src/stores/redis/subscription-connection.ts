/**
 * The connection on which a store receives what is published: a duplicate of its client, opened when the first
 * channel is wanted and replaced once it has given up, or the subscriber that the user passed in.
 */
import { InvalidOptionError } from "../../core/errors.js";
import { fieldOf, withoutText } from "../../core/shown.js";
import type { MessageListener, SubscribingClient, SubscriptionAdapter } from "./clients/client.js";
import { subscriptionsOf } from "./clients/index.js";
import { withinTime } from "./within-time.js";

export interface SubscriptionClients {
  /** The store's client, to be duplicated; undefined until the store has connected. */
  readonly client: () => unknown;
  /** The user's own subscriber; false = none. */
  readonly subscriber: unknown;
  /** Whether channels belong to slots. */
  readonly sharded: boolean;
}

export interface ConnectionEvents {
  readonly received: MessageListener;
  /** From now on messages of any channel may be lost. */
  readonly lost: () => void;
  /** It is worth subscribing again. */
  readonly recovered: () => void;
}

const PATIENCE_MS = 2000;

/**
 * Rejects if a subscription is not confirmed in time. A client may put one off until it is connected, as ioredis does on
 * the nodes of a Cluster, and lose it with a connection that fails: without this, no other attempt would follow.
 */
function answered(subscribing: Promise<unknown>): Promise<void> {
  return withinTime(subscribing, { ms: PATIENCE_MS, keepsAlive: false });
}

/** @throws InvalidOptionError for a subscriber that cannot subscribe. */
function adapterFor(clients: SubscriptionClients): SubscriptionAdapter | undefined {
  const { client, subscriber } = clients;
  if (subscriber === false) return undefined;
  if (subscriber !== undefined) {
    const adapter = subscriptionsOf(subscriber);
    if (adapter !== undefined) return adapter;
    const allowed = "a client of redis, ioredis or iovalkey for subscriptions alone, or false";
    throw new InvalidOptionError("subscriber", withoutText(subscriber), allowed);
  }
  const known = client();
  return typeof fieldOf(known, "duplicate") === "function" ? subscriptionsOf(known) : undefined;
}

export class SubscriptionConnection {
  readonly #clients: SubscriptionClients;
  readonly #events: ConnectionEvents;
  #adapter: SubscriptionAdapter | undefined;
  #opened: SubscribingClient | undefined;
  /** Remove the listeners from the client. */
  readonly #removals: (() => void)[] = [];
  /** Channels that the client believes to be subscribed to, and so would not ask the server for again. */
  readonly #asked = new Set<string>();
  /** How often it was lost: a subscription that was made before a loss may be lost with it. */
  #losses = 0;

  constructor(clients: SubscriptionClients, events: ConnectionEvents) {
    this.#clients = clients;
    this.#events = events;
    this.#adapter = adapterFor(clients);
  }

  /** Whether there is a client to subscribe with. Those that a store opens itself can, once they are open. */
  get canSubscribe(): boolean {
    if (this.#adapterNow() !== undefined) return true;
    const { client, subscriber } = this.#clients;
    return subscriber === undefined && client() === undefined;
  }

  /** Resolves once messages of the channel are received; rejects if that is not certain. */
  async subscribe(channel: string): Promise<void> {
    const adapter = this.#adapterNow();
    if (adapter === undefined) throw new Error("no client to subscribe with");
    const { sharded } = this.#clients;
    const client = this.#usableClient(adapter);
    const { received } = this.#events;
    const losses = this.#losses;
    if (this.#asked.has(channel)) {
      await answered(adapter.unsubscribe(client, sharded, channel, received)).catch(() => {});
    }
    this.#asked.add(channel);
    await answered(adapter.subscribe(client, sharded, channel, received));
    if (losses !== this.#losses) throw new Error("the connection was lost meanwhile");
  }

  unsubscribe(channel: string): void {
    this.#asked.delete(channel);
    const client = this.#opened;
    if (client === undefined) return;
    const { sharded } = this.#clients;
    // If it fails, the connection is lost, and the subscription with it.
    void this.#adapter
      ?.unsubscribe(client, sharded, channel, this.#events.received)
      .catch(() => {});
  }

  /** Ends what was opened here; the user's own subscriber only loses its listeners. */
  close(): void {
    for (const remove of this.#removals.splice(0)) remove();
    this.#asked.clear();
    const client = this.#opened;
    this.#opened = undefined;
    if (client === undefined || this.#isUsers) return;
    try {
      this.#adapter?.end(client);
    } catch {
      // It has already ended.
    }
  }

  /** Whether the user passed the subscriber in: then it is never ended or replaced. */
  get #isUsers(): boolean {
    return this.#clients.subscriber !== undefined;
  }

  #adapterNow(): SubscriptionAdapter | undefined {
    this.#adapter ??= adapterFor(this.#clients);
    return this.#adapter;
  }

  #usableClient(adapter: SubscriptionAdapter): SubscribingClient {
    if (this.#opened !== undefined && !this.#isUsers && adapter.hasGivenUp(this.#opened)) {
      this.close();
    }
    this.#opened ??= this.#open(adapter);
    return this.#opened;
  }

  #open(adapter: SubscriptionAdapter): SubscribingClient {
    const { client, subscriber, sharded } = this.#clients;
    const opened = this.#isUsers
      ? (subscriber as SubscribingClient)
      : adapter.duplicate(client() as SubscribingClient, sharded);
    const lost = (): void => {
      this.#losses += 1;
      this.#events.lost();
    };
    for (const event of adapter.lossEvents(opened)) this.#on(opened, event, lost);
    for (const event of adapter.recoveryEvents) this.#on(opened, event, this.#events.recovered);
    const stop = adapter.listen?.(opened, sharded, this.#events.received);
    if (stop !== undefined) this.#removals.push(stop);
    if (!this.#isUsers) {
      // Stays when the others are removed: a client that is being ended may still emit an error, which would end
      // the process.
      opened.on("error", () => {});
      adapter.connect(opened);
    }
    return opened;
  }

  #on(client: SubscribingClient, event: string, listener: () => void): void {
    client.on(event, listener);
    this.#removals.push(() => void client.removeListener(event, listener));
  }
}

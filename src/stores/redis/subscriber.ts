/**
 * Hears what is published to channels, through a connection of its own that is opened when the first channel
 * is wanted. What is heard is only a hint: while it is not, `isLive` says so and the one who waits has to ask.
 */
import { startTimer, type Timer } from "../../core/clock.js";
import { InvalidOptionError } from "../../core/errors.js";

export interface Subscription {
  isLive(): boolean;
  end(): void;
}

export interface SubscriberOptions {
  /** The store's client, to be duplicated. */
  readonly client: unknown;
  /** The user's own subscriber; false = none. */
  readonly subscriber: unknown;
  /** Whether channels belong to slots. */
  readonly sharded: boolean;
  readonly heard: (message: string) => void;
}

type Method = (...args: unknown[]) => unknown;
type Client = Readonly<Record<string, unknown>>;
type Hear = (message: string, channel: string) => void;

/** How one kind of client subscribes. */
interface Adapter {
  /** The method that gives the client away. */
  readonly mark: string;
  /** A second connection like the client's. It tries for ever to connect. */
  duplicate(client: Client, sharded: boolean): Client;
  connect(client: Client): void;
  /** Has `hear` called with all messages; returns what ends that. */
  hear(client: Client, sharded: boolean, hear: Hear): () => void;
  subscribe(client: Client, sharded: boolean, channel: string, hear: Hear): Promise<unknown>;
  unsubscribe(client: Client, sharded: boolean, channel: string): Promise<unknown>;
  destroy(client: Client): void;
  /** Events after which nothing is heard, and those after which it may be again. */
  readonly down: readonly string[];
  readonly up: readonly string[];
}

const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2000;
/** Between attempts to subscribe, where the server or its permissions refuse. */
const FIRST_ATTEMPT_MS = 100;
const LONGEST_ATTEMPT_MS = 30_000;

const retry = (times: number): number =>
  Math.min(FIRST_RETRY_MS * 2 ** Math.min(times, 10), LONGEST_RETRY_MS);

function call(client: Client, name: string, ...args: unknown[]): unknown {
  return (client[name] as Method).apply(client, args);
}

/** Waiting callers keep the process alive by themselves; hearing for them must not. */
function unref(client: Client): void {
  const socket = client["stream"] as { unref?: () => void } | undefined;
  socket?.unref?.();
}

/** In the order of detection. */
const ADAPTERS: readonly Adapter[] = [
  {
    // node-redis: client, Sentinel or Cluster. It subscribes again by itself when it is back.
    mark: "sSubscribe",
    duplicate: (client) => call(client, "duplicate", { disableOfflineQueue: false }) as Client,
    connect: (client) => {
      if (typeof client["unref"] === "function") call(client, "unref");
      void (call(client, "connect") as Promise<unknown>).catch(() => {});
    },
    hear: () => () => {},
    subscribe: async (client, sharded, channel, hear) =>
      call(client, sharded ? "sSubscribe" : "subscribe", channel, hear),
    unsubscribe: async (client, sharded, channel) =>
      call(client, sharded ? "sUnsubscribe" : "unsubscribe", channel),
    destroy: (client) => void call(client, "destroy"),
    down: ["reconnecting", "end", "terminated", "node-reconnecting", "node-disconnect"],
    up: ["ready", "node-ready"],
  },
  {
    // ioredis and iovalkey: Redis, Sentinel or Cluster.
    mark: "defineCommand",
    duplicate: (client, sharded) => {
      const options = { lazyConnect: true, enableOfflineQueue: true };
      return (
        sharded
          ? call(client, "duplicate", [], { ...options, shardedSubscribers: true })
          : call(client, "duplicate", {
              ...options,
              autoResubscribe: false,
              maxRetriesPerRequest: null,
              retryStrategy: retry,
            })
      ) as Client;
    },
    connect: (client) => {
      call(client, "on", "connect", () => {
        unref(client);
      });
      void (call(client, "connect") as Promise<unknown>).catch(() => {});
    },
    hear: (client, sharded, hear) => {
      const event = sharded ? "smessage" : "message";
      const listener = (channel: string, message: string): void => {
        hear(message, channel);
      };
      call(client, "on", event, listener);
      return () => void call(client, "removeListener", event, listener);
    },
    subscribe: async (client, sharded, channel) =>
      call(client, sharded ? "ssubscribe" : "subscribe", channel),
    unsubscribe: async (client, sharded, channel) =>
      call(client, sharded ? "sunsubscribe" : "unsubscribe", channel),
    destroy: (client) => void call(client, "disconnect"),
    down: ["close", "end", "-node", "nodeError"],
    up: ["ready", "+node", "subscribersReady"],
  },
];

function adapterOf(client: unknown): Adapter | undefined {
  const isObject = typeof client === "object" || typeof client === "function";
  if (!isObject || client === null) return undefined;
  return ADAPTERS.find(({ mark }) => typeof (client as Client)[mark] === "function");
}

interface Channel {
  wanted: number;
  isLive: boolean;
  /** Told each time it becomes live. */
  readonly listeners: Set<() => void>;
}

export class Subscriber {
  readonly #options: SubscriberOptions;
  readonly #adapter: Adapter | undefined;
  readonly #channels = new Map<string, Channel>();
  readonly #ends: (() => void)[] = [];
  #client: Client | undefined;
  #attempts = 0;
  #retry: Timer | undefined;
  #isClosed = false;

  constructor(options: SubscriberOptions) {
    const { client, subscriber } = options;
    this.#options = options;
    if (subscriber === false) return;
    if (subscriber !== undefined) {
      this.#adapter = adapterOf(subscriber);
      if (this.#adapter !== undefined) return;
      const allowed = "a client of redis, ioredis or iovalkey for subscriptions alone, or false";
      throw new InvalidOptionError("subscriber", subscriber, allowed);
    }
    const adapter = adapterOf(client);
    if (typeof (client as Partial<Client>)["duplicate"] === "function") this.#adapter = adapter;
  }

  /** Whether there is any way to hear something. */
  get canHear(): boolean {
    return this.#adapter !== undefined;
  }

  /** Wants a channel, and tells `live` whenever it begins to be heard. */
  subscribe(name: string, live: () => void): Subscription {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = { wanted: 0, isLive: false, listeners: new Set() };
      this.#channels.set(name, channel);
      void this.#attempt([[name, channel]]);
    }
    const wanted = channel;
    wanted.wanted += 1;
    wanted.listeners.add(live);
    return {
      isLive: () => wanted.isLive,
      end: () => {
        wanted.wanted -= 1;
        wanted.listeners.delete(live);
        // A channel of the whole store is kept; those of keys come and go.
        if (wanted.wanted === 0 && this.#options.sharded) this.#drop(name, wanted);
      },
    };
  }

  /** Ends what was opened here; the user's own subscriber only forgets the channels. */
  close(): void {
    this.#isClosed = true;
    this.#retry?.cancel();
    for (const [name, channel] of this.#channels) this.#drop(name, channel);
    for (const end of this.#ends) end();
    const client = this.#client;
    if (client !== undefined && this.#options.subscriber === undefined) {
      this.#adapter?.destroy(client);
    }
    this.#client = undefined;
  }

  #open(adapter: Adapter): Client {
    const { client, subscriber, sharded } = this.#options;
    const opened =
      subscriber === undefined
        ? adapter.duplicate(client as Client, sharded)
        : (subscriber as Client);
    const on = (event: string, listener: () => void): void => {
      call(opened, "on", event, listener);
      this.#ends.push(() => void call(opened, "removeListener", event, listener));
    };
    for (const event of adapter.down) {
      on(event, () => {
        this.#isDown();
      });
    }
    for (const event of adapter.up) {
      on(event, () => {
        this.#isUp();
      });
    }
    this.#ends.push(adapter.hear(opened, sharded, this.#hear));
    if (subscriber === undefined) {
      // Not taken off with the others: a client that is being ended may still have an error to tell.
      call(opened, "on", "error", () => {});
      adapter.connect(opened);
    }
    return opened;
  }

  readonly #hear: Hear = (message, name) => {
    if (this.#channels.has(name)) this.#options.heard(message);
  };

  #isDown(): void {
    for (const channel of this.#channels.values()) channel.isLive = false;
  }

  #isUp(): void {
    void this.#attempt();
  }

  /** Subscribes to what is not heard; again later where that fails. */
  async #attempt(channels: Iterable<[string, Channel]> = this.#channels): Promise<void> {
    const silent = [...channels].filter(([, { isLive }]) => !isLive);
    const outcomes = await Promise.allSettled(silent.map((each) => this.#attemptOne(...each)));
    if (outcomes.some(({ status }) => status === "rejected")) this.#attemptLater();
  }

  async #attemptOne(name: string, channel: Channel): Promise<void> {
    const adapter = this.#adapter;
    if (adapter === undefined || this.#isClosed) return;
    this.#client ??= this.#open(adapter);
    const client = this.#client;
    await adapter.subscribe(client, this.#options.sharded, name, this.#hear);
    // Some clients take a subscription while they are away.
    if (client["isReady"] === false || this.#isClosed) return;
    if (this.#channels.get(name) !== channel || channel.isLive) return;
    channel.isLive = true;
    this.#attempts = 0;
    for (const live of channel.listeners) live();
  }

  #attemptLater(): void {
    if (this.#isClosed) return;
    const ms = Math.min(FIRST_ATTEMPT_MS * 2 ** Math.min(this.#attempts, 10), LONGEST_ATTEMPT_MS);
    this.#attempts += 1;
    this.#retry?.cancel();
    this.#retry = startTimer(ms, () => void this.#attempt());
    this.#retry.unref();
  }

  #drop(name: string, channel: Channel): void {
    this.#channels.delete(name);
    channel.isLive = false;
    const client = this.#client;
    if (client === undefined || this.#adapter === undefined) return;
    // Whether it was still there does not matter: nothing is heard from it any more.
    void this.#adapter.unsubscribe(client, this.#options.sharded, name).catch(() => {});
  }
}

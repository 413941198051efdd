/**
 * Hears what is published to channels, through a connection of its own that is opened when the first channel
 * is wanted. What is heard is only a hint: while it is not, `isLive` says so and the one who waits has to ask.
 */
import { startTimer, type Timer } from "../../core/clock.js";
import { InvalidOptionError } from "../../core/errors.js";
import { disconnectForGood } from "./disconnect.js";

export interface Subscription {
  isLive(): boolean;
  /** Something that was published was not heard. */
  missed(): void;
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
  /** Whether the client has given up for good. */
  isOver(client: Client): boolean;
  /** Events after which nothing is heard, and those after which it may be again. */
  down(client: Client): readonly string[];
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
    // node-redis: client, Sentinel or Cluster.
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
    isOver: (client) => client["isOpen"] === false,
    down: (client) => {
      const events = ["reconnecting", "end", "terminated", "node-reconnecting", "node-disconnect"];
      // Of the connection on which a Sentinel client hears it tells nothing but errors.
      if (typeof client["getSentinelNode"] === "function") events.push("error");
      return events;
    },
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
    subscribe: async (client, sharded, channel) => {
      // Put off until a Cluster's client is ready, it throws where it does not know the slot, and nobody can catch that.
      if (sharded && client["status"] !== "ready") throw new Error("not ready");
      await call(client, sharded ? "ssubscribe" : "subscribe", channel);
    },
    unsubscribe: async (client, sharded, channel) => {
      if (sharded && client["status"] !== "ready") return;
      await call(client, sharded ? "sunsubscribe" : "unsubscribe", channel);
    },
    destroy: disconnectForGood,
    isOver: (client) => client["status"] === "end",
    down: () => ["close", "end", "-node", "nodeError"],
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
  /** Whether the client was asked for it before. */
  wasAsked: boolean;
  /** Whether it is just being asked. */
  isAsking: boolean;
  /** Told each time it becomes live. */
  readonly listeners: Set<() => void>;
}

export class Subscriber {
  readonly #options: SubscriberOptions;
  readonly #adapter: Adapter | undefined;
  readonly #channels = new Map<string, Channel>();
  readonly #ends: (() => void)[] = [];
  #client: Client | undefined;
  /** How often it went down: what is subscribed meanwhile may be lost. */
  #downs = 0;
  /** To subscribe, that failed one after another. */
  #attempts = 0;
  /** Of what was published, since something was heard. */
  #misses = 0;
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
      channel = {
        wanted: 0,
        isLive: false,
        wasAsked: false,
        isAsking: false,
        listeners: new Set(),
      };
      this.#channels.set(name, channel);
      // Where the last that was published was not heard, this one may not be either.
      if (this.#misses > 0) this.#attemptLater();
      else void this.#attempt([[name, channel]]);
    }
    const wanted = channel;
    wanted.wanted += 1;
    wanted.listeners.add(live);
    return {
      isLive: () => wanted.isLive,
      missed: () => {
        if (!wanted.isLive) return;
        wanted.isLive = false;
        this.#attemptLater();
        this.#misses += 1;
      },
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
    this.#leaveClient();
  }

  #leaveClient(): void {
    for (const end of this.#ends.splice(0)) end();
    const client = this.#client;
    this.#client = undefined;
    if (client === undefined || this.#options.subscriber !== undefined) return;
    try {
      this.#adapter?.destroy(client);
    } catch {
      // It has ended by itself.
    }
  }

  /** The client that hears; another duplicate where the last one has given up. */
  #clientOf(adapter: Adapter): Client {
    const { subscriber } = this.#options;
    if (this.#client !== undefined && subscriber === undefined && adapter.isOver(this.#client)) {
      this.#leaveClient();
      for (const channel of this.#channels.values()) channel.wasAsked = false;
    }
    this.#client ??= this.#open(adapter);
    return this.#client;
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
    for (const event of adapter.down(opened)) {
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
    if (!this.#channels.has(name)) return;
    this.#misses = 0;
    this.#options.heard(message);
  };

  #isDown(): void {
    this.#downs += 1;
    for (const channel of this.#channels.values()) channel.isLive = false;
    // Not every client tells when it is up again.
    this.#attemptLater();
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
    if (adapter === undefined || this.#isClosed || channel.isAsking) return;
    channel.isAsking = true;
    const { sharded } = this.#options;
    try {
      const client = this.#clientOf(adapter);
      const downs = this.#downs;
      // A client that believes to be subscribed would not ask the server.
      if (channel.wasAsked) await adapter.unsubscribe(client, sharded, name).catch(() => {});
      channel.wasAsked = true;
      await adapter.subscribe(client, sharded, name, this.#hear);
      if (this.#isClosed || this.#channels.get(name) !== channel) return;
      // Some clients take a subscription while they are away.
      if (client["isReady"] === false || downs !== this.#downs) throw new Error("down");
    } finally {
      channel.isAsking = false;
    }
    channel.isLive = true;
    this.#attempts = 0;
    for (const live of channel.listeners) live();
  }

  #attemptLater(): void {
    if (this.#isClosed || this.#retry !== undefined) return;
    const times = Math.min(this.#attempts + this.#misses, 10);
    const ms = Math.min(FIRST_ATTEMPT_MS * 2 ** times, LONGEST_ATTEMPT_MS);
    this.#attempts += 1;
    this.#retry = startTimer(ms, () => {
      this.#retry = undefined;
      void this.#attempt();
    });
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

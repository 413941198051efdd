/** All that Sluice knows of ioredis and of iovalkey, its twin for Valkey: Redis, Sentinel and Cluster. */
import { withReload } from "../scripts.js";
import { withoutCommand } from "./bare-error.js";
import {
  type ClientAdapter,
  type ClientHazard,
  type ClientMethod,
  type ClusterView,
  hasMethods,
  isObjectWith,
  type ServerLink,
  type SubscribingClient,
  type SubscriptionAdapter,
} from "./client.js";
import {
  CONNECT_TIMEOUT_MS,
  connected,
  type ConnectTarget,
  type OwnConnection,
  reconnectDelayMs,
  SILENCE_MS,
} from "./own-connection.js";

/** ioredis and iovalkey: Redis or Cluster. */
export interface IoRedisLike {
  evalsha: ClientMethod;
  eval: ClientMethod;
  defineCommand: ClientMethod;
}

interface IoRedis extends IoRedisLike {
  evalsha(sha: string, keyCount: number, ...keysAndArgs: readonly string[]): Promise<unknown>;
  eval(source: string, keyCount: number, ...keysAndArgs: readonly string[]): Promise<unknown>;
  /** True for a Cluster's client. */
  readonly isCluster?: unknown;
  /** A Cluster's addresses by slot, the master's first. */
  readonly slots?: readonly (readonly string[] | undefined)[];
  readonly options?: IoRedisOptions & {
    readonly redisOptions?: IoRedisOptions;
    readonly enableAutoPipelining?: unknown;
  };
  /** Of a connection to one server. */
  readonly status?: unknown;
  call(name: string, ...args: readonly string[]): Promise<unknown>;
  /** Of a Cluster's client. */
  nodes?(role: "master"): readonly IoRedis[];
}

/** Only those that send a command again, put it off, or keep a dead connection; and the address. */
interface IoRedisOptions {
  readonly host?: string;
  readonly port?: number;
  readonly enableOfflineQueue?: unknown;
  readonly socketTimeout?: unknown;
  readonly autoResendUnfulfilledCommands?: unknown;
  readonly maxRetriesPerRequest?: unknown;
  readonly reconnectOnError?: unknown;
  /** Only of a Cluster. */
  readonly retryDelayOnFailover?: unknown;
}

/**
 * Its own words once it was redirected too often, and then the last node's answer. It asks any node in between, so
 * that answer may come from a node which has nothing to do with the slot: MOVED proves as little as TRYAGAIN.
 */
const MOVING_SLOT = /^Too many Cluster redirections.*(?:TRYAGAIN|ASK|MOVED) /;

function ioredisCluster(client: IoRedis): ClusterView | undefined {
  if (client.isCluster !== true) return undefined;
  const showsSlots = Array.isArray(client.slots);
  return { nodeOf: showsSlots ? (slot) => client.slots?.[slot]?.[0] ?? "" : undefined };
}

/**
 * A connection to a node of a Cluster does not reconnect: what was under way is sent again, to any node, after
 * `retryDelayOnFailover`. What `reconnectOnError` makes of an error, only its author knows.
 */
function sendsOnce({ isCluster, options }: IoRedis): boolean {
  const own = (isCluster === true ? options?.redisOptions : options) ?? {};
  if (own.reconnectOnError) return false;
  if (isCluster === true) return options?.retryDelayOnFailover === 0;
  return own.autoResendUnfulfilledCommands === false || own.maxRetriesPerRequest === 0;
}

async function serversOf(client: IoRedis): Promise<readonly ServerLink[]> {
  const nodes = client.isCluster === true ? (client.nodes?.("master") ?? []) : [client];
  return nodes.map((node) => ({
    address: `${String(node.options?.host)}:${String(node.options?.port)}`,
    send: ([name = "", ...args]) => node.call(name, ...args),
  }));
}

/** Which options of docs/redis.md matter to whom, and when they are not as there. */
const HAZARDS: readonly (ClientHazard & {
  readonly of: "server" | "cluster" | "both";
  readonly isMet: (options: IoRedisOptions, cluster: IoRedisOptions) => boolean;
})[] = [
  {
    of: "server",
    better: "autoResendUnfulfilledCommands: false",
    harm: "what was under way when a connection broke is sent again, and counts twice if the server had seen it",
    severity: "warning",
    isMet: (own) => own.autoResendUnfulfilledCommands !== false && own.maxRetriesPerRequest !== 0,
  },
  {
    of: "cluster",
    better: "retryDelayOnFailover: 0",
    harm: "what was under way when a node's connection broke is sent again, and may count twice",
    severity: "warning",
    isMet: (_, cluster) => cluster.retryDelayOnFailover !== 0,
  },
  {
    of: "server",
    better: "enableOfflineQueue: false",
    harm: "calls made while the connection is down wait in the client, and count when nobody waits for them any more",
    severity: "warning",
    isMet: (own) => own.enableOfflineQueue !== false,
  },
  {
    of: "both",
    better: "no reconnectOnError that returns 2",
    harm: "what reconnectOnError sends again may count twice",
    severity: "note",
    isMet: (own) => typeof own.reconnectOnError === "function",
  },
  {
    of: "both",
    better: "socketTimeout: 5000",
    harm: "a connection that stays open and carries nothing is kept",
    severity: "note",
    isMet: (own) => !own.socketTimeout,
  },
];

function hazardsOf({ isCluster, options = {} }: IoRedis): readonly ClientHazard[] {
  const own = (isCluster === true ? options.redisOptions : options) ?? {};
  const kind = isCluster === true ? "cluster" : "server";
  return HAZARDS.filter(
    (hazard) => (hazard.of === "both" || hazard.of === kind) && hazard.isMet(own, options),
  );
}

/** Only what is used of a connection for subscriptions. */
interface IoRedisSubscriber extends SubscribingClient {
  readonly status: string;
  readonly stream?: { unref?: () => void };
  /** Of a Cluster's client with this option, since version 5.9. */
  readonly shardedSubscribers?: unknown;
  duplicate(...args: readonly unknown[]): IoRedisSubscriber;
  connect(): Promise<unknown>;
  disconnect(): void;
  subscribe(channel: string): Promise<unknown>;
  ssubscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  sunsubscribe(channel: string): Promise<unknown>;
}

const ioredisSubscriptions: SubscriptionAdapter<IoRedisSubscriber> = {
  fits: (client): client is IoRedisSubscriber => hasMethods(client, ["defineCommand"]),
  duplicate: (client, sharded) => {
    const options = { lazyConnect: true, enableOfflineQueue: true };
    if (sharded) {
      const duplicate = client.duplicate([], { ...options, shardedSubscribers: true });
      if (duplicate.shardedSubscribers !== undefined) return duplicate;
      throw new Error("this version of the client does not hear the channels of a Cluster's slots");
    }
    return client.duplicate({
      ...options,
      // The store subscribes again itself: it must know when messages are received again.
      autoResubscribe: false,
      maxRetriesPerRequest: null,
      retryStrategy: reconnectDelayMs,
    });
  },
  connect: (duplicate) => {
    // Callers that wait keep the process alive by themselves; this connection must not.
    duplicate.on("connect", () => {
      duplicate.stream?.unref?.();
    });
    void duplicate.connect().catch(() => {});
  },
  listen: (client, sharded, listener) => {
    const event = sharded ? "smessage" : "message";
    const onMessage = (channel: string, message: string): void => {
      listener(message, channel);
    };
    client.on(event, onMessage);
    return () => void client.removeListener(event, onMessage);
  },
  subscribe: async (client, sharded, channel) => {
    if (!sharded) return client.subscribe(channel);
    // It would put the command off until it is ready. If it does not know the slot then, it throws an uncaught exception,
    // and the process ends.
    if (client.status !== "ready") throw new Error("not ready");
    return client.ssubscribe(channel);
  },
  unsubscribe: async (client, sharded, channel) => {
    if (!sharded) return client.unsubscribe(channel);
    return client.status === "ready" ? client.sunsubscribe(channel) : undefined;
  },
  end: disconnectForGood,
  hasGivenUp: (client) => client.status === "end",
  lossEvents: () => ["close", "end", "-node", "nodeError"],
  recoveryEvents: ["ready", "+node", "subscribersReady"],
};

/**
 * A Cluster's client that is disconnected while it asks for its slots would go on to ask for ever, and keep the
 * process alive.
 */
export function disconnectForGood(client: { disconnect: () => void }): void {
  const cluster = client as { refreshSlotsCache?: unknown };
  if (cluster.refreshSlotsCache !== undefined) cluster.refreshSlotsCache = () => {};
  client.disconnect();
}

/** A node that hangs cannot redirect calls to the one that serves its slots now, so the table is read again. */
const SLOTS_REFRESH_MS = 1000;

/** Only what is used of the package. */
interface IoRedisModule {
  Redis: (new (
    options: object,
  ) => ConnectingIoRedis) & {
    Cluster: new (nodes: readonly object[], options: object) => ConnectingIoRedis;
  };
}
interface ConnectingIoRedis extends IoRedisLike {
  on(event: "error" | "node error", listener: (error: Error) => void): unknown;
  connect(): Promise<unknown>;
  disconnect(): void;
}

function createIoRedis({ Redis }: IoRedisModule, target: ConnectTarget): ConnectingIoRedis {
  const { host, port, db, username, password, tls, cluster } = target;
  const options = {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls }),
    connectTimeout: CONNECT_TIMEOUT_MS,
    lazyConnect: true,
    // A call that is sent again after a reconnect could count twice.
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    socketTimeout: SILENCE_MS,
  };
  if (!cluster) return new Redis({ ...options, host, port, db });
  return new Redis.Cluster([{ host, port }], {
    lazyConnect: true,
    // Connections to the nodes begin with their first call: calls during that must not fail.
    enableOfflineQueue: true,
    // What was under way when a node died may have been counted.
    retryDelayOnFailover: 0,
    slotsRefreshInterval: SLOTS_REFRESH_MS,
    // Sent again to any node, a call would outlive its caller and hide why from it.
    retryDelayOnClusterDown: 0,
    // The store does it better: it sends apart what cannot go together.
    retryDelayOnTryAgain: 1,
    redisOptions: options,
  });
}

async function openIoRedis(
  module: unknown,
  target: ConnectTarget,
  closed: AbortSignal,
): Promise<OwnConnection> {
  const client = createIoRedis(module as IoRedisModule, target);
  let failure: Error | undefined;
  const failed = (error: Error): void => {
    failure ??= error;
  };
  client.on("error", failed);
  // Of a Cluster: what a node said, before the error that none could be reached.
  client.on("node error", failed);
  const close = async (): Promise<void> => {
    disconnectForGood(client);
  };
  try {
    await connected(client.connect(), closed);
  } catch (error) {
    await close();
    // The rejection only says that the connection is closed; the event before it says why.
    const reason = failure ?? error;
    throw reason instanceof Error ? withoutCommand(reason) : reason;
  }
  if (failure !== undefined && !target.cluster) {
    // A database that does not exist is only an event too: the client goes on with number 0.
    await close();
    throw withoutCommand(failure);
  }
  return { client, close };
}

export const ioredis: ClientAdapter<IoRedis> = {
  fits: (client): client is IoRedis => isObjectWith(client, "defineCommand"),
  runnerOf: (client) =>
    withReload(
      {
        evalSha: (sha, keys, args) => client.evalsha(sha, keys.length, ...keys, ...args),
        eval: (source, keys, args) => client.eval(source, keys.length, ...keys, ...args),
      },
      { nodeOf: ioredisCluster(client)?.nodeOf },
    ),
  clusterOf: ioredisCluster,
  sendsOnce,
  writesAtOnce: ({ status, options }) =>
    status === "ready" && options?.enableAutoPipelining !== true,
  serversOf,
  hazardsOf,
  refusalIn: ({ message }) => (MOVING_SLOT.test(message) ? "movingSlot" : undefined),
  subscriptions: ioredisSubscriptions,
  connectable: { name: "ioredis", open: openIoRedis },
};

/** All that Sluice knows of the package `redis`: client, pool, Sentinel and Cluster. */
import { StoreUnavailableError } from "../../../core/errors.js";
import { fieldOf } from "../../../core/shown.js";
import { type ScriptCommands, withReload } from "../scripts.js";
import {
  type ClientAdapter,
  type ClientHazard,
  type ClientMethod,
  type ClusterView,
  hasMethods,
  isObjectWith,
  type MessageListener,
  type ServerLink,
  type SubscribingClient,
  type SubscriptionAdapter,
} from "./client.js";
import { endable } from "./endable.js";
import {
  CONNECT_TIMEOUT_MS,
  connected,
  type ConnectTarget,
  type OwnConnection,
  reconnectDelayMs,
  SILENCE_MS,
} from "./own-connection.js";
import { type ConnectingNodeRedis, ReconnectingClient } from "./reconnecting-client.js";

/** node-redis: client, Sentinel, pool or Cluster. */
export interface NodeRedisLike {
  evalSha: ClientMethod;
  eval: ClientMethod;
}

interface ScriptInput {
  readonly keys: readonly string[];
  readonly arguments: readonly string[];
}

interface NodeRedis extends NodeRedisLike {
  evalSha(sha: string, input: ScriptInput): Promise<unknown>;
  eval(source: string, input: ScriptInput): Promise<unknown>;
  /** As a Cluster's client has it; a Sentinel's has no key, and others have neither. */
  sendCommand?(key: string | undefined, isReadonly: boolean, command: string[]): Promise<unknown>;
  sendCommand?(isReadonly: boolean, command: string[]): Promise<unknown>;
  sendCommand?(command: string[]): Promise<unknown>;
  /** Not of a Sentinel's client, nor of a pool. */
  readonly options?: NodeRedisOptions & { readonly socket?: NodeRedisOptions };
  readonly masters?: readonly { readonly address: string }[];
  nodeClient?(node: { readonly address: string }): Promise<NodeRedis> | NodeRedis;
  /** Since version 5. */
  readonly close?: unknown;
  /** False before connect() and after close(). */
  readonly isOpen?: boolean;
  /** Only a Cluster's client has it. */
  readonly nodeByAddress?: unknown;
  /** Only a Sentinel's client has it. */
  readonly getSentinelNode?: unknown;
  readonly slots?: readonly ({ readonly master: { readonly address: string } } | undefined)[];
}

/** Only what is used of them. */
interface NodeRedisOptions {
  readonly disableOfflineQueue?: boolean;
  readonly host?: string;
  readonly port?: number;
}

/** Its own words, "The client is closed", do not help a user who forgot to open it; a Sentinel's client throws a TypeError. */
function inWords(client: NodeRedis, error: unknown): unknown {
  if (client.isOpen !== false) return error;
  const message = "the client is not connected: call `await client.connect()` before its first use";
  return new StoreUnavailableError(message, { cause: error });
}

/** The two commands that run a script. */
function scriptCommands(client: NodeRedis): ScriptCommands {
  // In version 4 a Cluster's client sends scripts to any node, and again to any when that one says who is the right one.
  if (nodeRedisCluster(client) !== undefined && client.close === undefined) {
    const send = (name: string, script: string, keys: readonly string[], args: readonly string[]) =>
      client.sendCommand?.(keys[0], false, [
        name,
        script,
        `${keys.length}`,
        ...keys,
        ...args,
      ]) as Promise<unknown>;
    return {
      evalSha: (sha, keys, args) => send("EVALSHA", sha, keys, args),
      eval: (source, keys, args) => send("EVAL", source, keys, args),
    };
  }
  return {
    evalSha: (sha, keys, args) => client.evalSha(sha, { keys, arguments: args }),
    eval: (source, keys, args) => client.eval(source, { keys, arguments: args }),
  };
}

/** When it was sent from node to node too often; the last node's answer is the error's cause. */
const TOO_MANY_REDIRECTIONS = "Too many Cluster redirections";

function nodeRedisCluster(client: NodeRedis): ClusterView | undefined {
  if (client.nodeByAddress === undefined) return undefined;
  return { nodeOf: (slot) => client.slots?.[slot]?.master.address ?? "" };
}

async function serversOf(client: NodeRedis): Promise<readonly ServerLink[]> {
  if (nodeRedisCluster(client) === undefined) {
    const { host, port } = client.options?.socket ?? {};
    const address = host === undefined ? "" : `${host}:${String(port)}`;
    const isSentinel = client.getSentinelNode !== undefined;
    const send = async (command: readonly string[]): Promise<unknown> =>
      isSentinel ? client.sendCommand?.(false, [...command]) : client.sendCommand?.([...command]);
    return [{ address, send }];
  }
  return (client.masters ?? []).map((node) => ({
    address: node.address,
    send: async (command) => (await client.nodeClient?.(node))?.sendCommand?.([...command]),
  }));
}

function hazardsOf(client: NodeRedis): readonly ClientHazard[] {
  const hazards: ClientHazard[] = [];
  const ofCluster = fieldOf(client, "_options");
  const options =
    ofCluster === undefined
      ? client.options
      : ((fieldOf(ofCluster, "defaults") ?? {}) as NodeRedisOptions);
  if (options !== undefined && options.disableOfflineQueue !== true) {
    hazards.push({
      better: "disableOfflineQueue: true",
      harm: "calls made while the connection is down wait in the client, and count when nobody waits for them any more",
      severity: "warning",
    });
  }
  if (client.getSentinelNode !== undefined) {
    hazards.push({
      better: "ioredis, behind Sentinel",
      harm: "what was under way when the master went away is sent to the new one, and may count twice",
      severity: "note",
    });
  }
  return hazards;
}

/** Only what is used of a connection for subscriptions. */
interface NodeRedisSubscriber extends SubscribingClient {
  /** A Cluster's client and a Sentinel's do not say. */
  readonly isReady?: boolean;
  readonly isOpen?: boolean;
  /** Only a Sentinel's client has it. */
  readonly getSentinelNode?: unknown;
  readonly unref?: () => void;
  duplicate(options: object): NodeRedisSubscriber;
  connect(): Promise<unknown>;
  destroy(): void;
  subscribe(channel: string, listener: MessageListener): Promise<unknown>;
  sSubscribe(channel: string, listener: MessageListener): Promise<unknown>;
  unsubscribe(channel: string, listener: MessageListener): Promise<unknown>;
  sUnsubscribe(channel: string, listener: MessageListener): Promise<unknown>;
}

const nodeRedisSubscriptions: SubscriptionAdapter<NodeRedisSubscriber> = {
  fits: (client): client is NodeRedisSubscriber => hasMethods(client, ["sSubscribe"]),
  duplicate: (client) => endable(client.duplicate({ disableOfflineQueue: false })),
  connect: (duplicate) => {
    // Callers that wait keep the process alive by themselves; this connection must not.
    if (typeof duplicate.unref === "function") duplicate.unref();
    void duplicate.connect().catch(() => {});
  },
  subscribe: async (client, sharded, channel, listener) => {
    await (sharded ? client.sSubscribe(channel, listener) : client.subscribe(channel, listener));
    // It takes a subscription while it is disconnected, and the server does not know of it.
    if (client.isReady === false) throw new Error("not ready");
  },
  // Without the listener it takes a channel that it is leaving for one that it is subscribed to.
  unsubscribe: async (client, sharded, channel, listener) =>
    sharded ? client.sUnsubscribe(channel, listener) : client.unsubscribe(channel, listener),
  end: (duplicate) => {
    duplicate.destroy();
  },
  hasGivenUp: (client) => client.isOpen === false,
  lossEvents: (client) => {
    const events = ["reconnecting", "end", "terminated", "node-reconnecting", "node-disconnect"];
    // A Sentinel's client emits nothing but errors for the connection on which it subscribes.
    return typeof client.getSentinelNode === "function" ? [...events, "error"] : events;
  },
  recoveryEvents: ["ready", "node-ready"],
};

/** After a node of a Cluster went away, the others are asked who serves its slots now. */
const REDISCOVER_MS = 500;

/** Only what is used of the package. */
interface NodeRedisModule {
  createClient(options: object): ConnectingNodeRedis;
  createCluster(options: object): ConnectingNodeRedis;
}

/** Failures reach the limiter call by call; an "error" event without listener would end the process. */
function ownClient(
  client: ConnectingNodeRedis,
  failed: (error: unknown) => void = () => {},
): ConnectingNodeRedis {
  client.on("error", failed);
  return endable(client);
}

/** `failed` hears what a Cluster's client does not say as it rejects. */
function createNodeRedis(
  redis: NodeRedisModule,
  target: ConnectTarget,
  wasConnected: () => boolean,
  failed: (error: unknown) => void,
): ConnectingNodeRedis | ReconnectingClient {
  const { host, port, db, username, password, tls, cluster } = target;
  const socket = { connectTimeout: CONNECT_TIMEOUT_MS, ...(tls && { ...tls, tls: true }) };
  const options = {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    // Without a queue a call fails at once while the server is away, instead of being counted late.
    disableOfflineQueue: true,
  };
  if (cluster) {
    return ownClient(
      redis.createCluster({
        rootNodes: [{ socket: { host, port } }],
        defaults: { ...options, socket },
        topologyRefreshOnReconnectionAttemptStrategy: REDISCOVER_MS,
      }),
      failed,
    );
  }
  // By its own rules the client would try a wrong address or password for ever.
  const reconnectStrategy = (retries: number): number | false =>
    wasConnected() && reconnectDelayMs(retries);
  const clientOptions = {
    ...options,
    database: db,
    socket: { host, port, ...socket, reconnectStrategy },
  };
  return new ReconnectingClient(() => ownClient(redis.createClient(clientOptions)), SILENCE_MS);
}

/** Before version 6 it says nothing to a server as it connects that the server could refuse for want of a login. */
async function connectFully(
  client: ConnectingNodeRedis | ReconnectingClient,
  { cluster }: ConnectTarget,
): Promise<void> {
  await client.connect();
  if (!cluster) await (client as NodeRedis).eval("return 1", { keys: [], arguments: [] });
}

async function openNodeRedis(
  module: unknown,
  target: ConnectTarget,
  closed: AbortSignal,
): Promise<OwnConnection> {
  let isConnected = false;
  let failure: unknown;
  const client = createNodeRedis(
    module as NodeRedisModule,
    target,
    () => isConnected,
    (error) => {
      failure = error;
    },
  );
  const close = async (): Promise<void> => {
    client.destroy();
  };
  try {
    await connected(connectFully(client, target), closed);
  } catch (error) {
    await close();
    // A Cluster's client rejects with "All the root nodes are unavailable"; the event before it says why.
    throw failure ?? error;
  }
  isConnected = true;
  return { client, close };
}

export const nodeRedis: ClientAdapter<NodeRedis> = {
  fits: (client): client is NodeRedis => isObjectWith(client, "evalSha"),
  runnerOf: (client) => {
    const ask = withReload(scriptCommands(client), { nodeOf: nodeRedisCluster(client)?.nodeOf });
    return (sha, source, keys, args, replied, failed) => {
      const failedInWords = (error: unknown): void => failed(inWords(client, error));
      try {
        ask(sha, source, keys, args, replied, failedInWords);
      } catch (error) {
        failedInWords(error);
      }
    };
  },
  clusterOf: nodeRedisCluster,
  serversOf,
  hazardsOf,
  // Only a Sentinel's client sends what was under way to the next master.
  sendsOnce: (client) => client.getSentinelNode === undefined,
  refusalIn: ({ message, cause }) =>
    message === TOO_MANY_REDIRECTIONS && cause instanceof Error ? "movingSlot" : undefined,
  saysQueueIsFull: ({ message }) => message === "The queue is full",
  subscriptions: nodeRedisSubscriptions,
  connectable: { name: "redis", open: openNodeRedis },
};

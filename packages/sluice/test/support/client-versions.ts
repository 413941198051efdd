/** The clients that the peer ranges allow, at the lowest and the newest version of each major, behind one face. */
import { connectablePackages } from "../../src/stores/redis/clients/index.js";
import type {
  ConnectTarget,
  OwnConnection,
} from "../../src/stores/redis/clients/own-connection.js";
import type { RedisClientLike } from "../../src/stores/redis/index.js";

/** A client as its user would open it, with the options that docs/redis.md says to set. */
export interface OpenedClient {
  readonly client: RedisClientLike;
  readonly close: () => Promise<void>;
}

export interface ClientVersion {
  readonly name: "redis" | "ioredis";
  /** Whether it can subscribe to the channels of a Cluster's slots. */
  readonly hearsOnCluster: boolean;
  readonly load: () => Promise<unknown>;
}

const redis = (load: ClientVersion["load"]): ClientVersion => ({
  name: "redis",
  hearsOnCluster: true,
  load,
});

/** By the range of versions that each stands for. */
export const clientVersions = {
  "ioredis 5.4": {
    name: "ioredis",
    hearsOnCluster: false,
    load: () => import("ioredis-5.4"),
  },
  "ioredis 5.11": {
    name: "ioredis",
    hearsOnCluster: true,
    load: () => import("ioredis-5.11"),
  },
  "ioredis 6.0": {
    name: "ioredis",
    hearsOnCluster: true,
    load: () => import("ioredis"),
  },
  "redis 4.6": redis(() => import("redis-4.6")),
  "redis 4.7": redis(() => import("redis-4.7")),
  "redis 5.0": redis(() => import("redis-5.0")),
  "redis 5.12": redis(() => import("redis-5.12")),
  "redis 6.0": redis(() => import("redis-6.0")),
  "redis 6.3": redis(() => import("redis")),
} as const satisfies Readonly<Record<string, ClientVersion>>;

export type ClientVersionName = keyof typeof clientVersions;
export const clientVersionNames = Object.keys(clientVersions) as ClientVersionName[];

interface NodeRedis {
  evalSha(): void;
  eval(): void;
  readonly isReady?: boolean;
  on(event: string, listener: () => void): void;
  connect(): Promise<unknown>;
  /** Version 5 and later. */
  destroy?(): void;
  disconnect(): Promise<unknown>;
}
interface NodeRedisModule {
  createClient(options: object): NodeRedis;
  createCluster(options: object): NodeRedis;
}
interface IoRedis {
  evalsha(): void;
  eval(): void;
  defineCommand(): void;
  on(event: "error", listener: () => void): void;
  connect(): Promise<unknown>;
  disconnect(): void;
}
interface IoRedisModule {
  default: (new (
    options: object,
  ) => IoRedis) & {
    Cluster: new (nodes: readonly object[], options: object) => IoRedis;
  };
}

const ignore = (): void => {};
/** A busy machine may take longer than clients wait by default. */
const PATIENCE_MS = 60_000;
const host = "127.0.0.1";

async function openNodeRedis(client: NodeRedis): Promise<OpenedClient> {
  client.on("error", ignore);
  await client.connect();
  const close = async (): Promise<void> => {
    if (client.destroy === undefined) await client.disconnect();
    else client.destroy();
  };
  return { client, close };
}

async function openIoRedis(client: IoRedis): Promise<OpenedClient> {
  client.on("error", ignore);
  await client.connect();
  return {
    client,
    close: async () => {
      client.disconnect();
    },
  };
}

/** A client of `redis` that nobody has connected. */
export async function nodeRedisVersion(name: ClientVersionName, port: number): Promise<NodeRedis> {
  const module = (await clientVersions[name].load()) as NodeRedisModule;
  const socket = { host, port, connectTimeout: PATIENCE_MS };
  return module.createClient({ socket, disableOfflineQueue: true });
}

/** A connected client of one server. */
export async function openVersion(name: ClientVersionName, port: number): Promise<OpenedClient> {
  const version = clientVersions[name];
  if (version.name === "redis") return openNodeRedis(await nodeRedisVersion(name, port));
  const { default: Redis } = (await version.load()) as IoRedisModule;
  const options = { enableOfflineQueue: false, maxRetriesPerRequest: 0, lazyConnect: true };
  const address = { host, port, connectTimeout: PATIENCE_MS };
  return openIoRedis(new Redis({ ...address, autoResendUnfulfilledCommands: false, ...options }));
}

/** A connected client of a Cluster. */
export async function openClusterVersion(
  name: ClientVersionName,
  ports: readonly number[],
): Promise<OpenedClient> {
  const version = clientVersions[name];
  const module = await version.load();
  if (version.name === "redis") {
    const redisModule = module as NodeRedisModule;
    const rootNodes = ports.map((port) => ({
      socket: { host, port, connectTimeout: PATIENCE_MS },
    }));
    return openNodeRedis(redisModule.createCluster({ rootNodes }));
  }
  const { default: Redis } = module as IoRedisModule;
  const nodes = ports.map((port) => ({ host, port }));
  const options = { lazyConnect: true, slotsRefreshTimeout: PATIENCE_MS };
  return openIoRedis(new Redis.Cluster(nodes, options));
}

/** What `RedisStore.connect` opens where this version is installed. */
export async function connectVersion(
  name: ClientVersionName,
  target: Pick<ConnectTarget, "port"> & Partial<ConnectTarget>,
): Promise<OwnConnection> {
  const version = clientVersions[name];
  const connectable = connectablePackages.find((each) => each.name === version.name);
  if (connectable === undefined) throw new Error(`a store cannot connect with ${version.name}`);
  return connectable.open(
    await version.load(),
    {
      host,
      db: 0,
      username: undefined,
      password: undefined,
      tls: undefined,
      cluster: false,
      ...target,
    },
    new AbortController().signal,
  );
}

/** Stores on ioredis and on node-redis, with the options that docs/redis.md says to set, and why. */
import { Cluster, Redis } from "ioredis";
import { createClient, createCluster, createSentinel } from "redis";
import { onTestFinished } from "vitest";
import { disconnectForGood } from "../../../src/stores/redis/clients/ioredis.js";
import { type RedisClientLike, RedisStore } from "../../../src/stores/redis/index.js";

export interface SentinelAddress {
  readonly name: string;
  readonly ports: readonly number[];
  /** Of a user on the servers; default: the one that needs none, and that replicas and Sentinels are. */
  readonly login?: { readonly username: string; readonly password: string };
}

/** Opens a client, of which the test's end is the end. */
export interface Driver {
  /**
   * `silenceMs` is after how long a connection on which nothing comes back is given up. node-redis has no such option:
   * with any `silenceMs` it keeps the connection.
   */
  server(port: number, silenceMs?: number): Promise<RedisStore>;
  sentinel(address: SentinelAddress): Promise<RedisStore>;
  sentinelClient(address: SentinelAddress): Promise<RedisClientLike>;
  cluster(ports: readonly number[]): Promise<RedisStore>;
  clusterClient(ports: readonly number[]): Promise<RedisClientLike>;
}

const host = "127.0.0.1";

/** Errors reach the limiter call by call; an "error" event without a listener would end the process. */
const ignore = (): void => {};

const ioOptions = {
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  // A connection on which nothing comes back is given up, and the next one may lead to who is alive.
  socketTimeout: 1000,
} as const;

/** Where a first attempt comes to nothing, as it may on a busy machine, the client makes others. */
async function connected(client: Redis | Cluster): Promise<void> {
  const isReady = new Promise<void>((resolve) => {
    client.once("ready", resolve);
  });
  await client.connect().catch(() => isReady);
}

const ioredis: Driver = {
  server: async (port, silenceMs = ioOptions.socketTimeout) => {
    const options = { ...ioOptions, socketTimeout: silenceMs };
    const client = new Redis({ host, port, lazyConnect: true, ...options });
    client.on("error", ignore);
    onTestFinished(() => {
      client.disconnect();
    });
    await connected(client);
    return new RedisStore({ client });
  },
  sentinel: async (address) => new RedisStore({ client: await ioredis.sentinelClient(address) }),
  sentinelClient: async ({ name, ports, login }) => {
    const client = new Redis({
      name,
      sentinels: ports.map((port) => ({ host, port })),
      lazyConnect: true,
      ...ioOptions,
      ...login,
    });
    client.on("error", ignore);
    onTestFinished(() => {
      client.disconnect();
    });
    await connected(client);
    return client;
  },
  cluster: async (ports) => new RedisStore({ client: await ioredis.clusterClient(ports) }),
  clusterClient: async (ports) => {
    const client = new Cluster(
      ports.map((port) => ({ host, port })),
      {
        lazyConnect: true,
        retryDelayOnFailover: 0,
        slotsRefreshInterval: 1000,
        retryDelayOnClusterDown: 0,
        retryDelayOnTryAgain: 1,
        // Its timer runs on after the connection is closed: shorter than what the check for leaks waits.
        redisOptions: { socketTimeout: 1000, disconnectTimeout: 500 },
      },
    );
    client.on("error", ignore);
    onTestFinished(() => {
      disconnectForGood(client);
    });
    await connected(client);
    return client;
  },
};

const nodeRedis: Driver = {
  server: async (port, silenceMs) => {
    if (silenceMs === undefined) {
      // No option of this client leaves a connection that went silent; `connect` does, after 5 s.
      const store = await RedisStore.connect(`redis://${host}:${port}`);
      onTestFinished(() => store.close());
      return store;
    }
    const client = createClient({ socket: { host, port }, disableOfflineQueue: true });
    client.on("error", ignore);
    onTestFinished(() => {
      client.destroy();
    });
    await client.connect();
    return new RedisStore({ client });
  },
  sentinel: async (address) => new RedisStore({ client: await nodeRedis.sentinelClient(address) }),
  sentinelClient: async ({ name, ports, login }) => {
    const client = createSentinel({
      name,
      sentinelRootNodes: ports.map((port) => ({ host, port })),
      nodeClientOptions: { disableOfflineQueue: true, ...login },
    });
    client.on("error", ignore);
    onTestFinished(() => client.destroy());
    await client.connect();
    return client;
  },
  cluster: async (ports) => new RedisStore({ client: await nodeRedis.clusterClient(ports) }),
  clusterClient: async (ports) => {
    const client = createCluster({
      rootNodes: ports.map((port) => ({ socket: { host, port } })),
      // No socketTimeout: it can leave slots with a client that is closed for good.
      defaults: { disableOfflineQueue: true },
      topologyRefreshOnReconnectionAttemptStrategy: 500,
    });
    client.on("error", ignore);
    onTestFinished(() => {
      client.destroy();
    });
    await client.connect();
    return client;
  },
};

export const drivers = { ioredis, "node-redis": nodeRedis } as const;
export const driverNames = ["ioredis", "node-redis"] as const;

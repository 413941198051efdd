/** Clients of a Cluster, as they come. */
import { Cluster } from "ioredis";
import { createCluster } from "redis";
import type { RedisClientLike } from "../../src/stores/redis/index.js";
import type { TestCluster } from "./cluster.js";

export interface ClusterClient {
  readonly client: RedisClientLike;
  close(): Promise<void>;
}

type Connect = (cluster: TestCluster) => Promise<ClusterClient>;

export const clusterClients = {
  ioredis: async ({ ports }) => {
    const client = new Cluster(ports.map((port) => ({ host: "127.0.0.1", port })));
    return { client, close: async () => void (await client.quit()) };
  },
  "node-redis": async ({ ports }) => {
    const rootNodes = ports.map((port) => ({ url: `redis://127.0.0.1:${port}` }));
    const client = createCluster({ rootNodes });
    client.on("error", () => {});
    await client.connect();
    return { client, close: () => client.close() };
  },
} as const satisfies Readonly<Record<string, Connect>>;

export const clusterClientNames = ["ioredis", "node-redis"] as const;

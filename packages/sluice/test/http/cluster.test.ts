/** Every adapter does the same with its limits on a Cluster, where the keys of a request lie in different slots. */
import { afterAll, beforeAll, describe, test } from "vitest";
import { RedisStore } from "../../src/stores/redis/index.js";
import { httpConformance } from "../../src/testing/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { type ClusterClient, clusterClients } from "../support/cluster-clients.js";
import { subjects } from "./subjects/index.js";

let cluster: TestCluster;
let connected: ClusterClient;
beforeAll(async () => {
  cluster = await startCluster();
  connected = await clusterClients.ioredis(cluster);
});
afterAll(async () => {
  await connected.close();
  await cluster.stop();
});

describe.concurrent.each(subjects)("$name", (subject) => {
  const createStore = (): RedisStore => new RedisStore({ client: connected.client });
  for (const { name, run } of httpConformance({ subject, createStore })) test(name, run);
});

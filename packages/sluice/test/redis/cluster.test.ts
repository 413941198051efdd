/** The store on a real Cluster: keys spread over the slots, each slot's calls in a batch of their own. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Clock,
  consumeAtomic,
  CrossSlotError,
  RateLimiter,
  tokenBucket,
} from "../../src/index.js";
import { scriptRunner } from "../../src/stores/redis/clients/index.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { storeConformance } from "../../src/testing/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import {
  type ClusterClient,
  clusterClientNames,
  clusterClients,
} from "../support/cluster-clients.js";
import { runs } from "../support/runs.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.stop());

describe.each(clusterClientNames)(`on a Cluster through %s (SLUICE_SEED=${seed})`, (name) => {
  let connected: ClusterClient;
  beforeAll(async () => {
    connected = await clusterClients[name](cluster);
  });
  afterAll(() => connected.close());

  const createStore = (clock: Clock): RedisStore =>
    new RedisStore({ client: connected.client, clock });
  const cases = storeConformance({ createStore, atomicAcrossKeys: false, seed, traces: runs(100) });
  for (const { name: title, run } of cases) test(title, run);

  describe("with all identities in one partition", () => {
    const createOne = (clock: Clock): RedisStore =>
      new RedisStore({ client: connected.client, clock, partitions: 1 });
    const together = storeConformance({ createStore: createOne, seed, traces: runs(30) });
    for (const { name: title, run } of together) test(title, run);
  });

  test("keeps the keys of a partition on one slot, and those of several apart", async () => {
    const tags = new Set<string>();
    const run = scriptRunner(connected.client);
    const client: RedisClientLike = (sha, source, keys, args) => {
      for (const key of keys) tags.add(/[{](.*)[}]/.exec(key)?.[1] ?? "none");
      return run(sha, source, keys, args);
    };
    const store = new RedisStore({ client, partitions: 4 });
    const policy = tokenBucket({ limit: 3, period: "1h" });
    const limiter = new RateLimiter({ store, policy, namespace: `parts.${name}`, timeout: "30s" });
    for (let i = 0; i < 40; i++) await limiter.consume(`key:${i}`);
    expect([...tags].sort()).toEqual(["p0", "p1", "p2", "p3"]);
  });

  test("counts every call of many keys at once, whatever slots they are in", async () => {
    const store = new RedisStore({ client: connected.client });
    const policy = tokenBucket({ limit: 3, period: "1h" });
    const limiter = new RateLimiter({ store, policy, namespace: `many.${name}`, timeout: "30s" });
    const keys = Array.from({ length: 300 }, (_, i) => `key:${i}`);
    const all = await Promise.all(
      Array.from({ length: 5 }, () => limiter.consumeMany(keys.map((key) => ({ key })))),
    );
    const allowed = all.map((decisions) => decisions.filter((decision) => decision.allowed).length);
    expect(allowed).toEqual([300, 300, 300, 0, 0]);
  });

  test("refuses an atomic call over several slots and says what to do", async () => {
    const store = new RedisStore({ client: connected.client });
    const policy = tokenBucket({ limit: 3, period: "1h" });
    const limiter = new RateLimiter({ store, policy, namespace: `atomic.${name}`, timeout: "30s" });
    const requests = ["alice", "bob", "carol"].map((key) => ({ limiter, key }));

    const refused = consumeAtomic(requests);
    await expect(refused).rejects.toThrow(CrossSlotError);
    await expect(refused).rejects.toMatchObject({ code: "CROSS_SLOT" });
    expect((await limiter.peek("alice")).remaining).toBe(3);
    expect(await consumeAtomic(requests, { atomic: false })).toMatchObject({ allowed: true });
    expect((await limiter.peek("alice")).remaining).toBe(2);
  });
});

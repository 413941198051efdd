/** Clients that do not tell that they talk to a Cluster: the store learns it from the first refusal. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { consumeAtomic, CrossSlotError, RateLimiter, tokenBucket } from "../../src/index.js";
import { PolicySet } from "../../src/policies/index.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { clients, patientGlide } from "../support/clients.js";
import { startCluster } from "../support/cluster.js";
import { eventually } from "../support/eventually.js";
import { startVictim, type Victim } from "../support/servers.js";

const SLOTS = 16_384;
const ROUNDS = 5;
const KEYS = 50;

/** A Cluster of one node, as it looks through one that serves all slots, or through a proxy. */
let server: Victim;
beforeAll(async () => {
  server = await startVictim({ args: ["--cluster-enabled", "yes"] });
  await server.command("CLUSTER", "ADDSLOTS", ...Array.from({ length: SLOTS }, (_, i) => `${i}`));
  await eventually(async () => {
    expect(String(await server.command("CLUSTER", "INFO"))).toMatch(/cluster_state:ok/);
  });
});
afterAll(() => server.stop());

function limiterOn(client: RedisClientLike, namespace: string): RateLimiter {
  return new RateLimiter({
    store: new RedisStore({ client }),
    policy: tokenBucket({ limit: 3, period: "365d" }),
    namespace,
    onStoreFailure: "throw",
    timeout: "30s",
    denyCache: false,
  });
}

/** All at once, so that they meet in batches. */
async function countsEveryCall(limiter: RateLimiter): Promise<void> {
  const keys = Array.from({ length: KEYS }, (_, i) => ({ key: `key:${i}` }));
  const rounds = Array.from({ length: ROUNDS }, () => limiter.consumeMany(keys));
  const allowed = (await Promise.all(rounds)).map(
    (decisions) => decisions.filter((decision) => decision.allowed).length,
  );
  expect(allowed.reduce((sum, count) => sum + count)).toBe(3 * KEYS);
}

async function refusesAcrossSlots(limiter: RateLimiter): Promise<void> {
  const requests = ["alice", "bob", "carol"].map((key) => ({ limiter, key }));
  const refused = consumeAtomic(requests);
  await expect(refused).rejects.toThrow(CrossSlotError);
  await expect(refused).rejects.toThrow(/partitions/);
  expect((await limiter.peek("alice")).remaining).toBe(3);
}

describe.each(Object.entries(clients))("through %s", (name, open) => {
  test("concurrent calls on several keys are all counted, once", async () => {
    const { client, close } = await open({ url: server.url });
    onTestFinished(close);
    const limiter = limiterOn(client, `many.${name.replaceAll(/[^a-z]/g, "")}`);
    await countsEveryCall(limiter);
    await refusesAcrossSlots(limiter);
  });

  test("a first call over several slots is refused as such", async () => {
    const { client, close } = await open({ url: server.url });
    onTestFinished(close);
    await refusesAcrossSlots(limiterOn(client, `first.${name.replaceAll(/[^a-z]/g, "")}`));
  });
});

test("several requests to rules whose keys lie apart are asked apart, and none keeps what one is denied", async () => {
  const store = await RedisStore.connect(server.url);
  const policy = { algorithm: "fixed-window", limit: 3, window: "366d" } as const;
  const source = { rules: [{ name: "user", key: ["user"], policy }] };
  const rules = new PolicySet({ source, store, namespace: "apart", timeout: "30s" });
  const of = (user: string, cost: number) => ({ entries: { user }, cost });
  const spread = [of("ann", 2), of("ben", 1), of("cho", 1)];
  const first = await rules.consumeMany(spread, { atomic: true });
  expect(first).toMatchObject({ allowed: true, atomic: false });
  expect(first.decisions.map(({ atomic }) => atomic)).toEqual([false, false, false]);
  const second = await rules.consumeMany(spread, { atomic: true });
  expect(second).toMatchObject({ allowed: false, atomic: false });
  expect((await rules.peek(of("ben", 1))).remaining).toBe(2);
  const inSlot = spread.map((request) => ({ ...request, slot: "team" }));
  expect(await rules.consumeMany(inSlot, { atomic: true })).toMatchObject({ atomic: true });
  await rules.close();
  await store.close();
});

test("a GLIDE client of a Cluster, whose name a bundler made shorter, is taken for what it is", async () => {
  const cluster = await startCluster();
  onTestFinished(() => cluster.stop());
  const { GlideClusterClient, Logger } = await import("@valkey/valkey-glide");
  Logger.setLoggerConfig("off");
  const addresses = cluster.ports.map((port) => ({ host: "127.0.0.1", port }));
  const client = await GlideClusterClient.createClient({ addresses, ...patientGlide });
  onTestFinished(() => {
    client.close();
  });
  Object.defineProperty(client, "constructor", { value: { name: "a" } });
  const limiter = limiterOn(client, "minified");
  await countsEveryCall(limiter);
  await refusesAcrossSlots(limiter);
});

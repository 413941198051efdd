/** The store on a real Cluster: keys spread over the slots, each slot's calls in a batch of their own. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Clock,
  consumeAtomic,
  CrossSlotError,
  RateLimiter,
  Semaphore,
  tokenBucket,
} from "../../src/index.js";
import { VERBS } from "../../src/algorithms/decide.js";
import { ruleOf } from "../../src/algorithms/rule.js";
import { identifyBy } from "../../src/core/identity.js";
import { scriptRunner } from "../../src/stores/redis/clients/index.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { storeConformance } from "../../src/testing/index.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import {
  type ClusterClient,
  clusterClientNames,
  clusterClients,
} from "../support/cluster-clients.js";
import { eventually } from "../support/eventually.js";
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

  describe.each([
    ["each key a slot of its own", {}],
    ["keys on 64 partitions", { partitions: 64 }],
  ] as const)("and with %s, keys that are given one slot", (layout, options) => {
    const namespace = `slot.${name}.${layout.length}`;

    /** A limiter of each person, and one of their organization. */
    function limitersOn(store: RedisStore): { person: RateLimiter; org: RateLimiter } {
      const make = (part: string, limit: number): RateLimiter =>
        new RateLimiter({
          store,
          policy: tokenBucket({ name: part, limit, period: "365d" }),
          namespace,
          onStoreFailure: "throw",
          timeout: "30s",
          denyCache: false,
        });
      return { person: make("person", 20), org: make("org", 7) };
    }

    test("are decided in one script, all or nothing, with a key of just that text too", async () => {
      const store = new RedisStore({ client: connected.client, ...options });
      const { person, org } = limitersOn(store);
      const sets = Array.from({ length: 50 }, (_, i) => {
        const slot = `org:${i % 5}`;
        return [
          { limiter: person, key: `a${i % 5}`, slot },
          { limiter: person, key: `b${i % 5}`, slot },
          { limiter: org, key: slot },
        ];
      });
      // One alone is one call.
      const batches: number[] = [];
      store.events.on("batch", ({ size }) => batches.push(size));
      const first = await consumeAtomic(sets[0] ?? []);
      expect(first).toMatchObject({ allowed: true, atomic: true });
      expect(batches).toEqual([1]);
      const rest = await Promise.all(sets.slice(1).map((set) => consumeAtomic(set)));
      expect(batches.reduce((sum, size) => sum + size)).toBe(sets.length);
      expect([first, ...rest].filter(({ allowed }) => allowed)).toHaveLength(35);
      for (const { allowed, decisions } of rest) {
        expect(decisions.every((decision) => decision.allowed)).toBe(allowed);
      }
      for (const [one, two, three] of sets.slice(0, 5)) {
        const left: (number | undefined)[] = [];
        for (const each of [one, two, three]) {
          left.push((await each?.limiter.peek(each.key, { cost: 0, slot: each.slot }))?.remaining);
        }
        expect(left).toEqual([13, 13, 0]);
        expect((await person.peek(one?.key ?? "", { cost: 0 })).remaining).toBe(20);
      }
    });

    test("show neither the slot's text nor the key to Redis", async () => {
      const keysSent: string[] = [];
      const run = scriptRunner(connected.client);
      const client: RedisClientLike = (sha, source, keys, args) => {
        keysSent.push(...keys);
        return run(sha, source, keys, args);
      };
      const { person } = limitersOn(new RedisStore({ client, ...options }));
      await person.consume("alice", { slot: "org:secret" });
      await person.consume("alice");
      await person.refund("alice", 1, { slot: "org:secret" });
      expect(keysSent).toHaveLength(4);
      expect(new Set(keysSent).size).toBe(3);
      expect(keysSent.join(" ")).not.toMatch(/alice|secret/);
    });

    test("are of one part of the store", () => {
      const store = new RedisStore({ client: connected.client, ...options });
      const identify = identifyBy(undefined, true);
      const keyspace = { name: "k" };
      const partOf = (id: string): string | undefined => {
        const debit = { name: "p", rule: ruleOf(tokenBucket({ limit: 1, period: 1 })), cost: 0 };
        const debits = [{ ...debit, keyspace, id }];
        return store.partOf?.({ verb: VERBS.peek, debits, blockUs: 0, maxWaitUs: 0 });
      };
      for (let i = 0; i < 50; i++) {
        const part = partOf(identify(`org:${i}`));
        expect(part).toMatch(/^127[.]0[.]0[.]1:/);
        expect(partOf(identify("alice", `org:${i}`))).toBe(part);
      }
    });
  });

  test("hands a permit on to the next in line of a semaphore's key that is given a slot", async () => {
    const store = new RedisStore({ client: connected.client });
    const options = { store, namespace: `slot.${name}`, limit: 1, timeout: "30s" } as const;
    const [one, two] = [new Semaphore(options), new Semaphore(options)];
    const first = await one.acquire("job", { slot: "org:7" });
    const elsewhere = await two.acquire("job");
    const waiting = two.acquire("job", { slot: "org:7" });
    await eventually(async () => {
      expect(await one.inspect("job", { slot: "org:7" })).toMatchObject({ held: 1, waiting: 1 });
    });
    await first.release();
    expect((await waiting).fencingToken).toBeGreaterThan(first.fencingToken);
    await elsewhere.release();
    await Promise.all([one.close(), two.close()]);
    await store.close();
  });
});

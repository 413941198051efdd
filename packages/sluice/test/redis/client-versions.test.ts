/** Through the lowest and the newest version of each client that the peer ranges allow, on real servers. */
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { type Clock, RateLimiter, type RateLimiterOptions, tokenBucket } from "../../src/index.js";
import { endable } from "../../src/stores/redis/clients/endable.js";
import type { OwnConnection } from "../../src/stores/redis/clients/own-connection.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { storeConformance } from "../../src/testing/index.js";
import { startProxy } from "../faults/support/proxy.js";
import {
  clientVersionNames,
  clientVersions,
  connectVersion,
  nodeRedisVersion,
  openClusterVersion,
  openVersion,
} from "../support/client-versions.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { eventually } from "../support/eventually.js";
import { runs } from "../support/runs.js";
import { inLine, newName, semaphoreOn } from "../support/semaphores.js";
import { startVictim } from "../support/servers.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** The lowest and the newest of each package. */
const ENDS: ReadonlySet<string> = new Set(["ioredis 5.4", "ioredis 6.0", "redis 4.6", "redis 6.3"]);
const isLong = runs(10) >= 10;
/** Without any, an outage is a warning of the process. */
const hooks = { onError: () => {} };
const policy = tokenBucket({ limit: 10, period: "365d" });

function limiterOn(client: object, options: Partial<RateLimiterOptions> = {}): RateLimiter {
  const store = new RedisStore({ client: client as never });
  const limiter = new RateLimiter({
    policy,
    store,
    namespace: newName(),
    timeout: "30s",
    onStoreFailure: "throw",
    ...options,
  });
  onTestFinished(async () => {
    await limiter.close();
    await store.close();
  });
  return limiter;
}

/** An operator of a server of the test's own, and the port. */
async function ownServer(): Promise<{ readonly port: number; readonly operator: Redis }> {
  const server = await startRedis();
  const operator = new Redis(server.url);
  onTestFinished(async () => {
    operator.disconnect();
    await server.stop();
  });
  return { port: server.port, operator };
}

/** A store's own connection; it gives up after five seconds, which a busy machine may take. */
const connect = (...target: Parameters<typeof connectVersion>): Promise<OwnConnection> =>
  eventually(() => connectVersion(...target));

/** Until it is refused for this reason, and not for want of time. */
const refusal = async (why: string, ...target: Parameters<typeof connectVersion>): Promise<void> =>
  eventually(async () => expect(connectVersion(...target)).rejects.toThrow(why));

/** Connections beside the one that asks. */
const connections = async (operator: Redis): Promise<number> =>
  String(await operator.call("CLIENT", "LIST"))
    .trim()
    .split("\n").length - 1;

// Side by side, because silence takes seconds.
describe.concurrent("when the server fails", () => {
  test.for(clientVersionNames)(
    "calls fail until it is back, through %s",
    async (name, { onTestFinished: onEnd }) => {
      const server = await startVictim();
      onEnd(() => server.stop());
      const own = await connect(name, { port: server.port });
      onEnd(() => own.close());
      const { client, close } = await openVersion(name, server.port);
      onEnd(close);
      for (const each of [own.client, client]) {
        const store = new RedisStore({ client: each as never });
        const options = {
          onStoreFailure: "closed",
          breaker: { probeEvery: "10ms" },
          hooks,
        } as const;
        const limiter = new RateLimiter({
          policy,
          store,
          namespace: newName(),
          timeout: "30s",
          ...options,
        });
        onEnd(() => limiter.close());
        // The second one has lived through what was done to the first.
        await eventually(async () =>
          expect(await limiter.consume("k")).toMatchObject({ source: "store" }),
        );
        await server.kill();
        expect(await limiter.consume("k")).toMatchObject({ source: "fail-closed" });
        await server.restart();
        await eventually(async () =>
          expect(await limiter.consume("k")).toMatchObject({ source: "store" }),
        );
      }
    },
  );

  test.for(clientVersionNames)(
    "a connection that carries nothing is left, through %s",
    async (name, { onTestFinished: onEnd }) => {
      const server = await startVictim();
      onEnd(() => server.stop());
      const proxy = await startProxy(server.port);
      onEnd(() => proxy.stop());
      const own = await connect(name, { port: proxy.port });
      onEnd(() => own.close());
      const store = new RedisStore({ client: own.client as never });
      const limiter = new RateLimiter({
        policy,
        store,
        timeout: "100ms",
        onStoreFailure: "closed",
        breaker: { probeEvery: "10ms" },
        hooks,
      });
      onEnd(() => limiter.close());
      await eventually(async () =>
        expect(await limiter.consume("k")).toMatchObject({ source: "store" }),
      );
      proxy.strand(0);
      expect(await limiter.consume("k")).toMatchObject({ source: "fail-closed" });
      await eventually(async () =>
        expect(await limiter.consume("k")).toMatchObject({ source: "store" }),
      );
    },
  );
});

describe("a client that is ended while it connects leaves no connection", () => {
  const ofNodeRedis = clientVersionNames.filter((name) => clientVersions[name].name === "redis");

  test.each(ofNodeRedis)("%s", async (name) => {
    const { port, operator } = await ownServer();
    const received = async (): Promise<number> =>
      Number(/total_connections_received:(\d+)/.exec(await operator.info("stats"))?.[1]);
    const before = await received();
    const client = endable(await nodeRedisVersion(name, port));
    client.on("error", () => {});
    void client.connect().catch(() => {});
    client.destroy();
    await eventually(async () => expect(await received()).toBe(before + 1));
    await eventually(async () => expect(await connections(operator)).toBe(0));
  });
});

describe("on a Cluster", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster.stop());

  test.each(clientVersionNames)("through %s", async (name) => {
    const [port = 0] = cluster.ports;
    const own = await connect(name, { port, cluster: true });
    onTestFinished(() => own.close());
    const { client, close } = await openClusterVersion(name, cluster.ports);
    onTestFinished(close);
    for (const each of [client, own.client as typeof client]) {
      const limiter = limiterOn(each);
      const parts = new Set<string>();
      limiter.events.on("storeCall", ({ part }) => void parts.add(part));
      const keys = Array.from({ length: 24 }, (_, i) => `k${i}`);
      for (const round of [9, 8]) {
        const decisions = await Promise.all(keys.map((key) => limiter.consume(key)));
        expect(decisions.every(({ remaining }) => remaining === round)).toBe(true);
      }
      expect([...parts].filter((part) => part !== "").length).toBe(3);

      const semaphore = semaphoreOn(each, newName());
      const nodes = cluster.ports.map((node) => new Redis(node));
      onTestFinished(() => {
        for (const node of nodes) node.disconnect();
      });
      const channels = async (): Promise<number> => {
        const all = await Promise.all(
          nodes.map((node) => node.call("PUBSUB", "SHARDCHANNELS", "*")),
        );
        return all.flat().length;
      };
      const permit = await semaphore.acquire("k");
      const waiting = semaphore.acquire("k", { maxWait: "2m" });
      await inLine(semaphore, 1);
      const heard = clientVersions[name].hearsOnCluster ? 1 : 0;
      await eventually(async () => expect(await channels()).toBe(heard));
      await permit.release();
      await (await waiting).release();
      await semaphore.close();
      await semaphore.store.close();
      await eventually(async () => expect(await channels()).toBe(0));
    }
  });
});

// Last, and ioredis first: its timers run on for two seconds after a connection of its is closed.
describe.each(clientVersionNames)(`through %s (SLUICE_SEED=${seed})`, (name) => {
  describe("a store", () => {
    let server: Awaited<ReturnType<typeof startRedis>>;
    let opened: Awaited<ReturnType<typeof openVersion>>;
    beforeAll(async () => {
      server = await startRedis();
      opened = await openVersion(name, server.port);
    });
    afterAll(async () => {
      await opened.close();
      await server.stop();
    });

    const createStore = (clock: Clock): RedisStore =>
      new RedisStore({ client: opened.client, clock });
    // Those between the lowest and the newest of a package do so in a long run.
    const suite =
      isLong || ENDS.has(name) ? storeConformance({ createStore, seed, traces: runs(20) }) : [];
    for (const { name: title, run } of suite) test(title, run);
    test("decides", async () => {
      expect((await limiterOn(opened.client).consume("k")).source).toBe("store");
    });
  });

  test("a refused call fails alone, and forgotten scripts are sent again", async () => {
    const { port, operator } = await ownServer();
    const { client, close } = await openVersion(name, port);
    onTestFinished(close);
    const limiter = limiterOn(client, { identity: "plain", namespace: "sluice" });
    expect((await limiter.consume("k")).remaining).toBe(9);
    await operator.lpush("sluice:token-bucket:{list}", "somebody else's");
    const [refused, served] = await Promise.allSettled([
      limiter.consume("list"),
      limiter.consume("k"),
    ]);
    expect(refused).toMatchObject({
      status: "rejected",
      reason: { code: "STORE_UNAVAILABLE", ofKey: true },
    });
    expect(served).toMatchObject({ status: "fulfilled", value: { remaining: 8 } });
    await operator.script("FLUSH");
    expect((await limiter.consume("k")).remaining).toBe(7);
    await operator.call("ACL", "SETUSER", "default", "resetkeys", "~sluice:other:*");
    await expect(limiter.consume("k")).rejects.toMatchObject({ ofKey: true });
  });

  test("a waiter is notified, and the store's end is the end of its connections", async () => {
    const { port, operator } = await ownServer();
    const own = await connect(name, { port });
    const { client, close } = await openVersion(name, port);
    // A client that greets with no command is connected before the server has looked.
    const count = (expected: number): Promise<void> =>
      eventually(async () => expect(await connections(operator)).toBe(expected));
    await count(2);
    for (const each of [client, own.client as typeof client]) {
      const semaphore = semaphoreOn(each, newName());
      const round = async (): Promise<number> => {
        const permit = await semaphore.acquire("k");
        const waiting = semaphore.acquire("k");
        await inLine(semaphore, 1);
        await operator.config("RESETSTAT");
        await permit.release();
        await (await waiting).release();
        const stats = await operator.info("commandstats");
        return [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce(
          (sum, [, calls]) => sum + Number(calls),
          0,
        );
      };
      // The release, the confirmation unless it comes to nothing before, the other release.
      await eventually(async () => expect(await round()).toBeLessThanOrEqual(3));
      await count(3);
      await semaphore.close();
      await semaphore.store.close();
      await count(2);
    }
    await own.close();
    await close();
    await count(0);
  });

  test("connects by the parts of a URL, and tells why it cannot", async () => {
    const { port, operator } = await ownServer();
    await operator.call("ACL", "SETUSER", "limiter", "on", ">a secret", "~*", "+@all", "&*");
    await operator.config("SET", "requirepass", "a secret");
    const login = { username: "limiter", password: "a secret" };
    const own = await connect(name, { port, db: 7, ...login });
    const limiter = limiterOn(own.client);
    expect((await limiter.consume("k")).remaining).toBe(9);
    await operator.select(7);
    expect(await operator.dbsize()).toBe(1);
    await own.close();

    const wrong = { ...login, password: "wrong" };
    await refusal("WRONGPASS", name, { port, ...wrong });
    await refusal("NOAUTH", name, { port });
    await refusal("out of range", name, { port, db: 99, ...login });
    const gone = await startRedis();
    await gone.stop();
    await refusal("ECONNREFUSED", name, { port: gone.port });
    await eventually(async () => expect(await connections(operator)).toBe(0));
  });
});

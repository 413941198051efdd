/** Semaphores on real servers, through every client that can be notified and some that cannot. */
import { Cluster, Redis } from "ioredis";
import { createCluster } from "redis";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { type Permit, Semaphore, StoreUnavailableError } from "../../src/index.js";
import { SEMAPHORE_VERBS, type SemaphoreVerb } from "../../src/algorithms/semaphore/kernel.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { clients } from "../support/clients.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { eventually } from "../support/eventually.js";
import { documented, grantedToNewer } from "../support/permissions.js";
import { clientOnOwnServer, inLine, newName, semaphoreOn } from "../support/semaphores.js";

interface Connected {
  readonly client: RedisClientLike;
  readonly close: () => Promise<void>;
}

/** Ten waiters of three semaphores that know nothing of each other, served one after another. */
async function serveInOrder(make: () => Semaphore): Promise<void> {
  const semaphores = [make(), make(), make()];
  const first = await (semaphores[0] as Semaphore).acquire("k");
  const order: number[] = [];
  const fences: bigint[] = [];
  const served: Promise<void>[] = [];
  for (let i = 0; i < 10; i++) {
    const semaphore = semaphores[i % 3] as Semaphore;
    served.push(
      semaphore.withPermit("k", (permit) => {
        order.push(i);
        fences.push(permit.fencingToken);
      }),
    );
    await inLine(semaphore, i + 1);
  }
  await first.release();
  await Promise.all(served);
  expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(fences).toEqual([...fences].sort((a, b) => (a < b ? -1 : 1)));
  expect(await (semaphores[0] as Semaphore).inspect("k")).toEqual({
    limit: 1,
    held: 0,
    waiting: 0,
  });
}

/** Who holds, and the end of all of them, on a store of several pages of holders. */
async function listAndReset(semaphore: Semaphore): Promise<void> {
  const permits = await Promise.all(Array.from({ length: 120 }, () => semaphore.acquire("r")));
  const waits = semaphore.acquire("r");
  await eventually(async () => expect((await semaphore.inspect("r")).waiting).toBe(1));
  const { holders, waiters } = await semaphore.list("r");
  const tokens = permits.map(({ fencingToken }) => fencingToken);
  tokens.sort((a, b) => (a < b ? -1 : 1));
  expect(holders.map(({ fencingToken }) => fencingToken)).toEqual(tokens.slice(0, 100));
  expect(waiters).toMatchObject([{ weight: 1 }]);
  expect(await semaphore.reset("r")).toBe(120);
  const { fencingToken } = await waits;
  expect(await semaphore.list("r")).toMatchObject({ held: 1, holders: [{ fencingToken }] });
}

/** Acquirers of several semaphores beside one who resets: at no time does the store let more hold than the limit. */
async function resetBeside(make: () => Semaphore): Promise<void> {
  const [watching, ...acquiring] = [make(), make(), make(), make()] as [Semaphore, ...Semaphore[]];
  const running = new Set(acquiring);
  let granted = 0;
  let ended = 0;
  const work = acquiring.map(async (semaphore, i) => {
    for (let call = 0; call < 60; call++) {
      const permit = await semaphore.acquire("race", { weight: 1 + ((call + i) % 2) });
      granted += 1;
      // Some keep theirs, and only a reset makes room again.
      if ((call + i) % 3 !== 0) await permit.release();
    }
    running.delete(semaphore);
  });
  while (running.size > 0) {
    const { held, holders } = await watching.list("race");
    expect(held).toBeLessThanOrEqual(3);
    expect(holders.reduce((sum, { weight }) => sum + weight, 0)).toBe(held);
    ended += await watching.reset("race");
  }
  await Promise.all(work);
  expect({ granted, hasEnded: ended > 0 }).toEqual({ granted: 180, hasEnded: true });
}

test("lists and ends permits, and a reset beside acquires never breaks the bound", async () => {
  const client = new Redis(inject("redisUrl"));
  onTestFinished(async () => {
    await client.quit();
  });
  const [wide, narrow] = [newName(), newName()];
  await listAndReset(semaphoreOn(client, wide, { limit: 120 }));
  await resetBeside(() => semaphoreOn(client, narrow, { limit: 3 }));
});

describe.each(Object.keys(clients) as (keyof typeof clients)[])("through %s", (kind) => {
  let connected: Connected;
  beforeAll(async () => {
    connected = await clients[kind]();
  });
  afterAll(() => connected.close());

  test("serves who waits in the order of the line", async () => {
    const name = newName();
    await serveInOrder(() => semaphoreOn(connected.client, name));
  });
});

describe("a waiter", () => {
  test.each(["ioredis", "node-redis", "iovalkey"] as const)(
    "is notified by the release and asks just once through %s",
    async (kind) => {
      const opened = await clientOnOwnServer(kind);
      const semaphore = semaphoreOn(opened.client, newName());
      /** In PINGs. */
      const handOffs: number[] = [];
      const round = async (): Promise<number> => {
        const permit = await semaphore.acquire("k");
        const waiting = semaphore.acquire("k");
        await inLine(semaphore, 1);
        const before = await scriptCalls(opened.command);
        const beganMs = performance.now();
        await opened.command("PING");
        const pingedMs = performance.now();
        void permit.release();
        const next = await waiting;
        handOffs.push((performance.now() - pingedMs) / (pingedMs - beganMs));
        await next.release();
        return (await scriptCalls(opened.command)) - before;
      };
      // The first waiter opens the subscriber, and asks meanwhile.
      await round();
      // The release, the confirmation unless it comes to nothing before, the other release.
      await eventually(async () => expect(await round()).toBeLessThanOrEqual(3));
      for (let i = 0; i < 9; i++) await round();
      // Who is not notified learns by renewing his place in line, within 1.7 s: thousands of PINGs later.
      const [, , , , median = Number.NaN] = handOffs.slice(-9).sort((a, b) => a - b);
      expect(median).toBeLessThan(500);
    },
  );

  test("asks where it cannot be notified, and less and less often", async () => {
    const server = await startRedis();
    const client = new Redis(server.url);
    onTestFinished(async () => {
      client.disconnect();
      await server.stop();
    });
    const command = (...args: string[]): Promise<unknown> =>
      client.call(...(args as [string, ...string[]]));
    const semaphore = semaphoreOn(client, newName(), { subscriber: false });
    const permit = await semaphore.acquire("k");
    const waiting = semaphore.acquire("k");
    await eventually(async () => expect(await scriptCalls(command)).toBeGreaterThan(8));
    // From 10 ms to 1 s at half as long again: some 13 in the first 4 s.
    expect(await scriptCalls(command)).toBeLessThan(30);
    await permit.release();
    await (await waiting).release();
    expect(await client.pubsub("CHANNELS", "*")).toEqual([]);
  });

  test("of a subscriber of one's own leaves it open", async () => {
    const [client, subscriber] = [new Redis(inject("redisUrl")), new Redis(inject("redisUrl"))];
    onTestFinished(() => {
      client.disconnect();
      subscriber.disconnect();
    });
    const name = newName();
    const semaphore = semaphoreOn(client, name, { subscriber });
    const permit = await semaphore.acquire("k");
    const waiting = semaphore.acquire("k");
    await inLine(semaphore, 1);
    await permit.release();
    await (await waiting).release();
    await semaphore.store.close();
    expect(subscriber.status).toBe("ready");
    expect(subscriber.listenerCount("message")).toBe(0);
  });
});

describe("when Redis fails", () => {
  test("a key that is somebody else's is an error, and is left alone", async () => {
    const client = new Redis(inject("redisUrl"));
    onTestFinished(() => {
      client.disconnect();
    });
    const name = newName();
    const semaphore = semaphoreOn(client, name);
    const plain = new Semaphore({
      limit: 1,
      name: `${name}-plain`,
      identity: "plain",
      timeout: "30s",
      store: new RedisStore({ client }),
    });
    await client.set(`sluice:${name}-plain~semaphore:{k}`, "mine");
    await expect(plain.acquire("k")).rejects.toThrow(StoreUnavailableError);
    await expect(plain.acquire("k")).rejects.toThrow("holds a value of another type");
    expect(await client.get(`sluice:${name}-plain~semaphore:{k}`)).toBe("mine");
    await client.zadd(`sluice:${name}-plain~semaphore:{l}`, "-inf", "#2 whatever");
    await expect(plain.acquire("l")).rejects.toThrow("of a format that this version does not know");
    await plain.close();
    expect(await semaphore.inspect("k")).toMatchObject({ held: 0 });
  });

  test("what Redis evicted is forgotten whole, and holders learn of it", async () => {
    const client = new Redis(inject("redisUrl"));
    onTestFinished(() => {
      client.disconnect();
    });
    const name = newName();
    const store = new RedisStore({ client });
    const semaphore = new Semaphore({
      limit: 1,
      name,
      identity: "plain",
      leaseDuration: "1s",
      timeout: "30s",
      store,
    });
    const permit = await semaphore.acquire("k");
    const waiting = semaphore.acquire("k");
    await inLine(semaphore, 1);
    expect(await client.keys(`sluice:${name}~*`)).toEqual([`sluice:${name}~semaphore:{k}`]);
    expect(await client.unlink(`sluice:${name}~semaphore:{k}`)).toBe(1);
    const next = await waiting;
    expect(next.fencingToken).toBeGreaterThan(permit.fencingToken);
    await expect.poll(() => permit.lost.aborted).toBe(true);
    await next.release();
    await semaphore.close();
    await store.close();
  });
});

describe("on a Cluster", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster.stop());

  const connect: Readonly<Record<string, () => Promise<Connected>>> = {
    ioredis: async () => {
      const client = new Cluster(cluster.ports.map((port) => ({ host: "127.0.0.1", port })));
      return { client, close: async () => void (await client.quit()) };
    },
    "node-redis": async () => {
      const rootNodes = cluster.ports.map((port) => ({ url: `redis://127.0.0.1:${port}` }));
      const client = createCluster({ rootNodes });
      client.on("error", () => {});
      await client.connect();
      return { client, close: () => client.close() };
    },
  };

  test.each(Object.keys(connect))("serves in order, and wakes, through %s", async (kind) => {
    const connected = await (connect[kind] as () => Promise<Connected>)();
    onTestFinished(connected.close);
    const name = newName();
    await serveInOrder(() => semaphoreOn(connected.client, name));

    const semaphore = semaphoreOn(connected.client, newName());
    const nodes = cluster.ports.map((port) => new Redis(port));
    onTestFinished(() => {
      for (const node of nodes) node.disconnect();
    });
    const count = async (ask: (node: Redis) => Promise<unknown>): Promise<number> =>
      (await Promise.all(nodes.map(ask))).reduce<number>((sum, each) => sum + Number(each), 0);
    const channels = (): Promise<number> =>
      count(
        async (node) => ((await node.call("PUBSUB", "SHARDCHANNELS", "*")) as unknown[]).length,
      );
    const calls = (): Promise<number> =>
      count((node) => scriptCalls((...args) => node.call(...(args as [string, ...string[]]))));
    const round = async (): Promise<number> => {
      const permit = await semaphore.acquire("k");
      const waiting = semaphore.acquire("k");
      await eventually(async () => expect(await channels()).toBe(1));
      await inLine(semaphore, 1);
      const before = await calls();
      await permit.release();
      await (await waiting).release();
      return (await calls()) - before;
    };
    // On a busy machine a renewal of the place in line may come between.
    await eventually(async () => expect(await round()).toBeLessThanOrEqual(4));
    await eventually(async () => expect(await channels()).toBe(0));
  });
});

test("a permit is one round trip where there is no line", async () => {
  const server = await startRedis();
  const client = new Redis(server.url);
  onTestFinished(async () => {
    client.disconnect();
    await server.stop();
  });
  const semaphore = semaphoreOn(client, newName(), { limit: 100 });
  const permits: Permit[] = [];
  await semaphore.inspect("k");
  const command = (...args: string[]): Promise<unknown> =>
    client.call(...(args as [string, ...string[]]));
  const before = await scriptCalls(command);
  for (let i = 0; i < 50; i++) permits.push(await semaphore.acquire("k"));
  expect((await scriptCalls(command)) - before).toBe(50);
  await Promise.all(permits.map((permit) => permit.release()));
  // Commands of one tick go together.
  expect((await scriptCalls(command)) - before).toBeLessThan(60);
  for (const key of await client.keys("*")) expect(await client.ttl(key)).toBeGreaterThan(86_400);
});

describe("a user with the permissions that docs/semaphore.md asks for", () => {
  const words = documented("waiter on ", "docs/semaphore.md");
  const password = words.find((word) => word.startsWith(">"))?.slice(1) ?? "";

  async function serveAs(...changes: string[]): Promise<string> {
    const server = await startRedis();
    const admin = new Redis(server.url);
    const [name = "", ...args] = [...words, ...(await grantedToNewer(admin)), ...changes];
    await admin.call(name, ...args);
    const client = new Redis(server.url, { username: "waiter", password, enableReadyCheck: false });
    onTestFinished(async () => {
      client.disconnect();
      admin.disconnect();
      await server.stop();
    });
    const made = newName();
    await serveInOrder(() => semaphoreOn(client, made));
    const limited = semaphoreOn(client, newName());
    await limited.setLimit("k", 2);
    return JSON.stringify(await admin.call("ACL", "LOG"));
  }

  test("needs no more", async () => {
    expect(await serveAs()).toBe("[]");
  });

  test("is served without channels too", async () => {
    expect(await serveAs("resetchannels", "-publish", "-subscribe")).toMatch(/publish/);
  });
});

/** EVALSHA and EVAL that the server has done. */
async function scriptCalls(command: (...args: string[]) => Promise<unknown>): Promise<number> {
  const info = String(await command("INFO", "commandstats"));
  return [...info.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce(
    (sum, [, calls]) => sum + Number(calls),
    0,
  );
}

test("every permission that docs/semaphore.md asks for is needed", async () => {
  const [command = "", ...args] = documented("waiter on ", "docs/semaphore.md");
  const password = args.find((word) => word.startsWith(">"))?.slice(1) ?? "";
  const needed = args.filter((word) => word.startsWith("+")).map((word) => word.slice(1));
  expect(needed).toContain("evalsha");
  const server = await startRedis();
  const admin = new Redis(server.url);
  onTestFinished(async () => {
    admin.disconnect();
    await server.stop();
  });
  await admin.call(command, ...args, ...(await grantedToNewer(admin)));
  const log = async (): Promise<string> => JSON.stringify(await admin.call("ACL", "LOG"));

  /** All that a semaphore does; what is refused is in the log. */
  async function use(): Promise<void> {
    const client = new Redis(server.url, { username: "waiter", password, enableReadyCheck: false });
    const store = new RedisStore({ client });
    const { semaphores } = store;
    const place = { keyspace: "sluice:semaphore", id: "k" };
    const terms = { leaseUs: 60e6, claimUs: 60e6, waitUs: 60e6 };
    const listening = semaphores.listen(place, { owner: "a", notified: () => {}, live: () => {} });
    const tell = async (verb: SemaphoreVerb, id: string, number: number): Promise<void> => {
      const entries = [{ id, number }];
      const channel = semaphores.channelOf(place);
      await semaphores
        .execute(place, { verb, limit: 1, terms, channel, entries }, 0)
        .catch(() => undefined);
    };
    await tell(SEMAPHORE_VERBS.acquire, "a.1", 1);
    await tell(SEMAPHORE_VERBS.acquire, "a.2", 1);
    await tell(SEMAPHORE_VERBS.renew, "a.2", 0);
    await tell(SEMAPHORE_VERBS.release, "a.1", 0);
    await tell(SEMAPHORE_VERBS.release, "a.2", 0);
    await eventually(async () =>
      expect(listening.isLive() || (await log()).includes("subscribe")).toBe(true),
    );
    listening.end();
    await store.close();
    client.disconnect();
  }

  await use();
  expect(await log()).toBe("[]");
  for (const word of needed) {
    await admin.flushall();
    await admin.script("FLUSH");
    await admin.call("ACL", "LOG", "RESET");
    await admin.call("ACL", "SETUSER", "waiter", `-${word}`);
    await use();
    await eventually(async () => expect(await log(), word).toContain(`"${word}"`));
    await admin.call("ACL", "SETUSER", "waiter", `+${word}`);
  }
});

/** Two semaphores of one name on a server of their own; one is notified by a subscriber that the test looks at. */
async function wokenBy(): Promise<{
  readonly other: Semaphore;
  readonly semaphore: Semaphore;
  readonly subscriber: Redis;
}> {
  const server = await startRedis();
  const connect = (): Redis => new Redis(server.url);
  const [client, own, subscriber] = [connect(), connect(), connect()];
  onTestFinished(async () => {
    for (const each of [client, own, subscriber]) each.disconnect();
    await server.stop();
  });
  const name = newName();
  const other = semaphoreOn(client, name);
  const semaphore = semaphoreOn(own, name, { subscriber });
  // The first that waits has the subscriber opened.
  const permit = await other.acquire("k");
  const waiting = semaphore.acquire("k");
  await eventually(async () =>
    expect(await client.pubsub("CHANNELS", "sluice:wake:*")).toHaveLength(1),
  );
  await permit.release();
  await (await waiting).release();
  return { other, semaphore, subscriber };
}

test("a signal that aborts around the grant comes too late or in time, and leaks nothing", async () => {
  const { other, semaphore, subscriber } = await wokenBy();
  const outcomes = new Set<string>();
  for (let turns = -1; turns < 12; turns++) {
    const permit = await other.acquire("k");
    const controller = new AbortController();
    const { signal } = controller;
    const abort = (): void => {
      controller.abort("too late?");
    };
    semaphore.events.on("permit", ({ change }) => {
      if (turns < 0 && change === "granted") abort();
    });
    const waiting = semaphore.acquire("k", { signal }).then(
      (next) => next,
      (reason: unknown) => reason,
    );
    await inLine(other, 1);
    // So many turns of the microtask queue after the hint came, and before it is known to anybody; or in the grant.
    const hinted = (left = turns): void => {
      if (left === 0) abort();
      else queueMicrotask(() => hinted(left - 1));
    };
    const heard = (): void => {
      hinted();
    };
    if (turns >= 0) subscriber.prependOnceListener("message", heard);
    await permit.release();
    const outcome = await waiting;
    if (turns < 0) expect(outcome).not.toBe("too late?");
    if (outcome === "too late?") outcomes.add("rejected");
    else {
      outcomes.add("granted");
      expect(await semaphore.inspect("k")).toMatchObject({ held: 1, waiting: 0 });
      await (outcome as Permit).release();
    }
    expect(await semaphore.inspect("k")).toMatchObject({ held: 0, waiting: 0 });
    subscriber.removeListener("message", heard);
  }
  expect([...outcomes].sort()).toEqual(["granted", "rejected"]);
});

test("a higher limit notifies who waits in another process", async () => {
  const { other, semaphore, subscriber } = await wokenBy();
  const first = await other.acquire("k");
  const waiting = [1, 2, 3].map(() => semaphore.acquire("k"));
  await inLine(other, 3);
  const hints: string[] = [];
  subscriber.on("message", (_channel: string, message: string) => hints.push(message));
  await other.setLimit("k", 3);
  const permits = await Promise.all(waiting.slice(0, 2));
  expect(await other.inspect("k")).toEqual({ limit: 3, held: 3, waiting: 1 });
  const fences = permits.map(({ fencingToken }) => String(fencingToken));
  await eventually(() => expect(hints.map((hint) => hint.split(" ")[1])).toEqual(fences));
  await first.release();
  permits.push(await (waiting[2] as Promise<Permit>));
  await Promise.all(permits.map((permit) => permit.release()));
  expect(await other.inspect("k")).toEqual({ limit: 3, held: 0, waiting: 0 });
});

/** A user with no more permissions than docs/redis.md asks for is enough, and none of them can be left out. */
import { once } from "node:events";
import { Cluster, Redis } from "ioredis";
import { createCluster, createSentinel } from "redis";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import {
  type Clock,
  consumeAtomic,
  type Decision,
  type ErrorEvent,
  type Policy,
  RateLimiter,
  slidingLog,
  StoreUnavailableError,
} from "../../src/index.js";
import { readReports, report } from "../../src/report/index.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { storeConformance } from "../../src/testing/index.js";
import { startSentinels, type Watched } from "../faults/support/sentinel.js";
import { clients } from "../support/clients.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { documented, granted, grantedToNewer, KNOWN_SINCE } from "../support/permissions.js";
import { namedSlowPolicies, slowPolicies } from "../support/policies.js";
import { runs } from "../support/runs.js";
import { commandTo } from "../support/servers.js";
import { beginMove, identitiesIn } from "../support/slot-move.js";

const passwordIn = (line: readonly string[]): string =>
  line.find((word) => word.startsWith(">"))?.slice(1) ?? "";

const words = documented("limiter on ");
const PASSWORD = passwordIn(words);
const commands = granted(words);
const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

let server: Awaited<ReturnType<typeof startRedis>>;
let admin: Redis;
let newer: readonly string[];
let current: Redis | undefined;
beforeAll(async () => {
  server = await startRedis();
  admin = new Redis(server.url);
  newer = await grantedToNewer(admin);
});
afterAll(async () => {
  current?.disconnect();
  await admin.quit();
  await server.stop();
});

/** Makes the documented user anew, with changes, on a server that knows no script and no key. */
async function asUser(...changes: readonly string[]): Promise<Redis> {
  current?.disconnect();
  await admin.flushall();
  await admin.script("FLUSH");
  await admin.call("ACL", "LOG", "RESET");
  await admin.call("ACL", "DELUSER", "limiter");
  const [name = "", ...args] = [...words, ...newer, ...changes];
  await admin.call(name, ...args);
  const username = "limiter";
  current = new Redis(server.url, { username, password: PASSWORD, enableReadyCheck: false });
  return current;
}

function limiterFor(
  client: RedisClientLike,
  policy: Policy | readonly Policy[],
  partitions?: number,
): RateLimiter {
  const store = new RedisStore({ client, ...(partitions !== undefined && { partitions }) });
  return new RateLimiter({ policy, store, onStoreFailure: "throw", timeout: "30s" });
}

/** Every verb on every policy, each alone and all together; on a Cluster, in so many partitions. */
async function useEverything(client: RedisClientLike, partitions?: number): Promise<void> {
  for (const policy of [...slowPolicies.map(([, each]) => each), namedSlowPolicies]) {
    const limiter = limiterFor(client, policy, partitions);
    const key = "k";
    await limiter.consume(key, { cost: 3 });
    await limiter.consumeUpTo(key, { cost: 3 });
    await limiter.consumeMany([{ key }, { key: "other" }]);
    await consumeAtomic([
      { limiter, key },
      { limiter, key: "other" },
    ]);
    await limiter.peek(key);
    await limiter.refund(key, 1);
    await limiter.penalize(key, 20);
    await limiter.block(key, "1h");
    await limiter.unblock(key);
    await limiter.reset(key);
  }
  // Hits are dropped once they have left the window.
  const log = slidingLog({ name: "quick", limit: 10, window: 2 });
  const quick = limiterFor(client, log, partitions);
  await quick.consume("k");
  await expect.poll(async () => (await quick.peek("k")).remaining).toBe(10);
  await quick.consume("k");
}

test("the documentation names the user's permissions", () => {
  expect(words.slice(0, 4)).toEqual(["ACL", "SETUSER", "limiter", "on"]);
  expect(words).toContain("~sluice:*");
  expect(commands.length).toBeGreaterThan(5);
});

test("Redis 6.2 knows every command, and no part of one needs permission", () => {
  const all = [...commands, ...granted(documented("waiter on ", "docs/semaphore.md"))];
  for (const command of all.map((word) => word.slice(1))) {
    expect(Number(KNOWN_SINCE[command]), command).toBeLessThanOrEqual(6.2);
  }
});

test("the documented user may do everything", async () => {
  await useEverything(await asUser());
  const denials = (await admin.call("ACL", "LOG")) as unknown[];
  expect(denials).toEqual([]);
});

test("the documented user may report, and reads reports with hgetall", async () => {
  const reportAs = async (...changes: readonly string[]) => {
    const client = await asUser(...changes);
    const store = new RedisStore({ client });
    const limiter = limiterFor(client, slidingLog({ limit: 1, window: "1h" }));
    const onError = vi.fn<() => void>();
    const reporter = report({ store, limiters: [limiter], hooks: { onError } });
    await limiter.consume("k");
    await reporter.end();
    expect(onError).not.toHaveBeenCalled();
    return readReports({ store });
  };
  await expect(reportAs()).rejects.toThrow(/hgetall|NOPERM|ACL failure|can't run this command/);
  expect((await reportAs("+hgetall")).limiters[0]?.asked).toBe(1);
});

test("the documented user sets and reads overrides with hgetall and hlen", async () => {
  const overrideAs = async (...changes: readonly string[]) => {
    const client = await asUser(...changes);
    const store = new RedisStore({ client });
    // It tries to hear of changes, which the user may not, until then.
    onTestFinished(() => store.close());
    const policy = slidingLog({ limit: 1, window: "1h" });
    await using limiter = new RateLimiter({ policy, store, overrides: true, timeout: "30s" });
    await limiter.override("bad", "deny");
    return await limiter.consume("bad");
  };
  await expect(overrideAs()).rejects.toThrow(
    /hgetall|hlen|NOPERM|ACL failure|can't run this command/,
  );
  expect((await overrideAs("+hgetall", "+hlen")).reason).toBe("blocked");
});

test("a server that knows CLIENT SETINFO refuses the clients' names without the permission", async () => {
  const user = await asUser(...newer.map((word) => word.replace("+", "-")));
  await user.ping().catch(() => {});
  const denials = JSON.stringify(await admin.call("ACL", "LOG"));
  expect(denials.includes("client|setinfo")).toBe(newer.length > 0);
});

test.each(commands)("without %s something fails", async (command) => {
  const user = await asUser(command.replace("+", "-"));
  await expect(useEverything(user)).rejects.toThrow(StoreUnavailableError);
});

describe.each(["ioredis", "node-redis", "valkey-glide", "upstash"] as const)(
  "keys of another namespace are out of reach through %s",
  (name) => {
    const [, policy] = slowPolicies[0] as (typeof slowPolicies)[number];
    const events = new Map<string, ErrorEvent[]>();
    let limiters: { readonly good: RateLimiter; readonly bad: RateLimiter };
    const open = async (...changes: readonly string[]): Promise<void> => {
      await asUser("+info", ...changes);
      const login = { url: server.url, username: "limiter", password: PASSWORD };
      const { client, close } = await clients[name](login);
      onTestFinished(close);
      const store = new RedisStore({ client });
      const limiterIn = (namespace: string): RateLimiter => {
        const told: ErrorEvent[] = [];
        events.set(namespace, told);
        return new RateLimiter({
          policy,
          store,
          namespace,
          onStoreFailure: "closed",
          timeout: "30s",
          denyCache: false,
          hooks: { onError: (event) => told.push(event) },
        });
      };
      limiters = { good: limiterIn("sluice"), bad: limiterIn("other") };
    };
    /** Who answered calls on keys of both that were made at once. */
    const sources = async (): Promise<{ good: Set<string>; bad: Set<string> }> => {
      const ask = (limiter: RateLimiter, i: number): Promise<Decision> =>
        limiter.consume(`key:${i % 10}`, { cost: 0 });
      const { good, bad } = limiters;
      const calls = Array.from({ length: 100 }, (_, i) => [ask(good, i), ask(bad, i)] as const);
      const found = { good: new Set<string>(), bad: new Set<string>() };
      for (const [one, other] of calls) {
        found.good.add((await one).source);
        found.bad.add((await other).source);
      }
      return found;
    };

    test("which is their limiter's failure, call by call, and nobody else's", async () => {
      await open();
      for (let round = 0; round < 3; round++) {
        expect(await sources()).toEqual({
          good: new Set(["store"]),
          bad: new Set(["fail-closed"]),
        });
      }
      expect(events.get("sluice")).toEqual([]);
      const errors = events.get("other")?.map(({ error }) => error) ?? [];
      expect(errors).toHaveLength(300);
      for (const error of errors) {
        expect(error).toMatchObject({ code: "STORE_UNAVAILABLE", ofKey: true });
        expect(String(error)).toMatch(/may not access a key of other:/);
      }
      // Once its keys are within reach, it is asked as ever.
      await admin.call("ACL", "SETUSER", "limiter", "~other:*");
      expect(await sources()).toEqual({ good: new Set(["store"]), bad: new Set(["store"]) });
    });

    test("which a command out of reach is not: the whole store fails", async () => {
      await open("-mget");
      expect(await sources()).toEqual({
        good: new Set(["fail-closed"]),
        bad: new Set(["fail-closed"]),
      });
      const [event, ...others] = events.get("sluice") ?? [];
      expect(event?.error).toMatchObject({ code: "STORE_UNAVAILABLE", ofKey: false });
      expect(others).toEqual([]);
    });
  },
);

test("a missing permission is not taken for a value of another type", async () => {
  for (const [command, policy] of [
    ["mget", slowPolicies[0]],
    ["hget", slowPolicies.at(-1)],
  ] as const) {
    const user = await asUser(`-${command}`);
    const limiter = limiterFor(user, (policy as (typeof slowPolicies)[number])[1]);
    await expect(limiter.consume("k")).rejects.toThrow(/can't run this command|NOPERM|ACL failure/);
  }
});

describe(`the documented user passes the conformance suite (SLUICE_SEED=${seed})`, () => {
  let user: Redis;
  beforeAll(async () => {
    // An injected clock is for tests alone, and so is what it needs; the suite has its own namespace.
    user = await asUser("resetkeys", "~conformance.*", "+pexpire");
  });
  const createStore = (clock: Clock): RedisStore => new RedisStore({ client: user, clock });
  const cases = storeConformance({ createStore, seed, traces: runs(50) });
  for (const { name, run } of cases) test(name, run);
});

describe("with the documented user", () => {
  test.each(["ioredis", "node-redis", "iovalkey", "valkey-glide"] as const)(
    "%s connects and decides",
    async (name) => {
      await asUser("+info");
      const login = { url: server.url, username: "limiter", password: PASSWORD };
      const { client, close } = await clients[name](login);
      onTestFinished(close);
      const [, policy] = slowPolicies[0] as (typeof slowPolicies)[number];
      const limiter = new RateLimiter({
        policy,
        store: new RedisStore({ client }),
        onStoreFailure: "throw",
        timeout: "30s",
      });
      expect((await limiter.consume("k")).remaining).toBe(9);
    },
  );

  test("connect needs select for a database other than 0, and nothing else", async () => {
    const url = `${server.url.replace("//", `//limiter:${PASSWORD}@`)}/3`;
    await asUser();
    await expect(RedisStore.connect(url)).rejects.toThrow(/NOPERM.*select/);
    await asUser("+select");
    const store = await RedisStore.connect(url);
    onTestFinished(() => store.close());
    const [, policy] = slowPolicies[0] as (typeof slowPolicies)[number];
    const limiter = new RateLimiter({ policy, store, onStoreFailure: "throw", timeout: "30s" });
    expect((await limiter.consume("k")).remaining).toBe(9);
  });
});

/** Opens a client and tells what ends it. */
type Open = () => Promise<{ readonly client: RedisClientLike; readonly end: () => unknown }>;
const ignore = (): void => {};
const driverNames = ["ioredis", "node-redis"] as const;
const [, bucket] = slowPolicies[0] as (typeof slowPolicies)[number];

/** Whether a client of `open` connects and decides on these keys, and what failed if not. */
async function tryOut(
  open: Open,
  keys: readonly string[],
  expected: "works" | "fails",
): Promise<unknown> {
  let opened: Awaited<ReturnType<Open>> | undefined;
  try {
    opened = await open();
    const store = new RedisStore({ client: opened.client });
    const options = { policy: bucket, store, identity: "plain", onStoreFailure: "throw" } as const;
    // A client without a command that it needs may try for ever.
    const timeout = expected === "works" ? "60s" : "5s";
    const limiter = new RateLimiter({ ...options, timeout, breaker: false });
    for (const key of keys) await limiter.peek(key);
    return "works";
  } catch (error) {
    return error;
  } finally {
    await opened?.end();
  }
}

describe("on a Cluster", () => {
  const more = granted(documented("limiter +cluster"));
  const login = { username: "limiter", password: PASSWORD };
  let cluster: TestCluster;
  /** Of a slot that is moving: one of its keys has, one not. */
  let moving: readonly string[];
  beforeAll(async () => {
    cluster = await startCluster();
    const slot = 7;
    moving = identitiesIn(slot, 2);
    const client = new Cluster(cluster.ports.map((port) => ({ host: "127.0.0.1", port })));
    const limiter = new RateLimiter({
      policy: bucket,
      store: new RedisStore({ client }),
      identity: "plain",
      onStoreFailure: "throw",
      timeout: "30s",
    });
    for (const key of moving) await limiter.consume(key);
    client.disconnect();
    const move = await beginMove(cluster, slot);
    await move.carry((await move.keys())[0] ?? "");
  });
  afterAll(() => cluster.stop());

  /** Makes the documented user on every node, with these commands more. */
  async function withMore(...others: readonly string[]): Promise<void> {
    for (const { port } of cluster.masters) {
      await commandTo(port, ["ACL", "DELUSER", "limiter"]);
      await commandTo(port, ["ACL", ...words.slice(1), ...others]);
      await commandTo(port, ["ACL", "LOG", "RESET"]);
    }
  }

  const open: Readonly<Record<(typeof driverNames)[number], Open>> = {
    ioredis: async () => {
      const nodes = cluster.ports.map((port) => ({ host: "127.0.0.1", port }));
      const client = new Cluster(nodes, {
        lazyConnect: true,
        clusterRetryStrategy: () => null,
        // By default, a second.
        slotsRefreshTimeout: 60_000,
        redisOptions: { ...login, enableReadyCheck: false, disconnectTimeout: 500 },
      });
      client.on("error", ignore);
      client.on("+node", (node: Redis) => {
        // ioredis leaves it to nobody that this is refused, which would end the process.
        const asking = node.asking.bind(node);
        node.asking = async () => asking().catch(() => "OK" as const);
      });
      // Where the client gives up, its promise stays as it is.
      const end = once(client, "end").then(() => {
        throw new Error("the client gave up");
      });
      await Promise.race([client.connect(), end]);
      return {
        client,
        end: () => {
          client.disconnect();
        },
      };
    },
    "node-redis": async () => {
      const rootNodes = cluster.ports.map((port) => ({ url: `redis://127.0.0.1:${port}` }));
      const client = createCluster({ rootNodes, defaults: login });
      client.on("error", ignore);
      await client.connect();
      return {
        client,
        end: () => {
          client.destroy();
        },
      };
    },
  };
  /** What only ioredis asks for. */
  const READY_CHECK = "+cluster|info";
  const neededBy = (name: string): readonly string[] =>
    more.filter((command) => name === "ioredis" || command !== READY_CHECK);
  const everywhere = Array.from({ length: 20 }, (_, i) => `key:${i}`);

  describe.each(driverNames)("through %s", (name) => {
    test("the documented user may do everything, also while a slot moves", async () => {
      await withMore(...neededBy(name));
      expect(await tryOut(open[name], [...everywhere, ...moving], "works")).toBe("works");
      const { client, end } = await open[name]();
      onTestFinished(async () => void (await end()));
      await useEverything(client, 1);
    });

    test.each(more)("without %s it is as documented", async (command) => {
      await withMore(...more.filter((other) => other !== command));
      const expected = neededBy(name).includes(command) ? "fails" : "works";
      const outcome = await tryOut(open[name], [...everywhere, ...moving], expected);
      if (expected === "fails") expect(outcome).toBeInstanceOf(Error);
      else expect(outcome).toBe("works");
    });
  });
});

describe("behind Sentinels", () => {
  let watched: Watched;
  beforeAll(async () => {
    watched = await startSentinels();
    for (const { port } of [watched.master, watched.replica]) {
      await commandTo(port, ["ACL", ...words.slice(1)]);
    }
  });
  afterAll(() => watched.stop());

  const lines = {
    ioredis: documented("ioredis "),
    "node-redis": documented("node-redis "),
  } as const;
  const login = { username: "limiter", password: PASSWORD };

  /** Makes the documented user on every Sentinel, without `left`. */
  async function asWatcher(line: readonly string[], left?: string): Promise<void> {
    for (const port of watched.ports) {
      await commandTo(port, ["ACL", "DELUSER", line[2] ?? ""]);
      await commandTo(port, ["ACL", ...line.slice(1).filter((word) => word !== left)]);
    }
  }

  const open: Readonly<Record<(typeof driverNames)[number], Open>> = {
    ioredis: async () => {
      const client = new Redis({
        ...login,
        name: watched.name,
        sentinels: watched.ports.map((port) => ({ host: "127.0.0.1", port })),
        sentinelUsername: lines.ioredis[2] ?? "",
        sentinelPassword: passwordIn(lines.ioredis),
        sentinelRetryStrategy: () => null,
        enableReadyCheck: false,
        lazyConnect: true,
      });
      client.on("error", ignore);
      await client.connect();
      return {
        client,
        end: () => {
          client.disconnect();
        },
      };
    },
    "node-redis": async () => {
      const line = lines["node-redis"];
      const client = createSentinel({
        name: watched.name,
        sentinelRootNodes: watched.ports.map((port) => ({ host: "127.0.0.1", port })),
        nodeClientOptions: login,
        sentinelClientOptions: { username: line[2] ?? "", password: passwordIn(line) },
        maxCommandRediscovers: 1,
      });
      client.on("error", ignore);
      try {
        await client.connect();
      } catch (error) {
        await client.destroy();
        throw error;
      }
      return { client, end: () => client.destroy() };
    },
  };

  describe.each(driverNames)("through %s", (name) => {
    test("the documented users are enough", async () => {
      await asWatcher(lines[name]);
      expect(await tryOut(open[name], ["k"], "works")).toBe("works");
    });

    test.each(granted(lines[name]))("without %s it does not connect", async (command) => {
      await asWatcher(lines[name], command);
      expect(await tryOut(open[name], ["k"], "fails")).toBeInstanceOf(Error);
    });
  });
});

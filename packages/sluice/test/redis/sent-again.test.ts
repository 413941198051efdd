/** What gives back leaves a mark where the client may send it again, and only there; it is done once everywhere. */
import { Redis } from "ioredis";
import { Redis as Valkey } from "iovalkey";
import { createClient, createClientPool } from "redis";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { RateLimiter, tokenBucket } from "../../src/index.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { type Proxy, startProxy } from "../faults/support/proxy.js";
import { clients } from "../support/clients.js";
import { eventually } from "../support/eventually.js";

const policy = tokenBucket({ limit: 1000, period: "365d" });
const CUTS = 5;

let behind: Redis;
let proxy: Proxy;
beforeAll(async () => {
  const port = Number(new URL(inject("redisUrl")).port);
  behind = new Redis(port);
  proxy = await startProxy(port);
});
afterAll(async () => {
  await behind.quit();
  await proxy.stop();
});

type Open = (url: string) => Promise<RedisClientLike>;

const byIoRedis =
  (make: (url: string, options: object) => Redis | Valkey, options: object): Open =>
  async (url) => {
    const client = make(url, { ...options, retryStrategy: () => 10 });
    client.on("error", () => {});
    onTestFinished(() => {
      client.disconnect();
    });
    return client;
  };

const byNodeRedis = (make: typeof createClient | typeof createClientPool): Open => {
  return async (url) => {
    const socket = { reconnectStrategy: () => 10 };
    const client = make({ url, socket, disableOfflineQueue: true });
    client.on("error", () => {});
    await client.connect();
    onTestFinished(() => {
      client.destroy();
    });
    return client;
  };
};

const ioredis = (url: string, options: object): Redis => new Redis(url, options);
const iovalkey = (url: string, options: object): Valkey => new Valkey(url, options);

const marking: Readonly<Record<string, Open>> = {
  ioredis: byIoRedis(ioredis, {}),
  iovalkey: byIoRedis(iovalkey, {}),
  "ioredis, with errors after which it may": byIoRedis(ioredis, {
    maxRetriesPerRequest: 0,
    reconnectOnError: () => 2,
  }),
};
const sendingOnce: Readonly<Record<string, Open>> = {
  "ioredis, told not to send again": byIoRedis(ioredis, { autoResendUnfulfilledCommands: false }),
  "ioredis, told not to try again": byIoRedis(ioredis, { maxRetriesPerRequest: 0 }),
  "iovalkey, told not to send again": byIoRedis(iovalkey, { autoResendUnfulfilledCommands: false }),
  "node-redis": byNodeRedis(createClient),
  "node-redis's pool": byNodeRedis(createClientPool),
};

let namespaces = 0;

function limiterOn(store: RedisStore): { limiter: RateLimiter; namespace: string } {
  namespaces += 1;
  const namespace = `again.${process.pid}.${namespaces}`;
  const limiter = new RateLimiter({
    policy,
    store,
    namespace,
    onStoreFailure: "throw",
    timeout: "30s",
    breaker: false,
    denyCache: false,
  });
  return { limiter, namespace };
}

/** How many marks a refund, a settlement that gives back and a cancelled start leave. */
async function marksLeftBy(store: RedisStore): Promise<number> {
  const { limiter, namespace } = limiterOn(store);
  await limiter.consume("k", { cost: 998 });
  expect(await limiter.refund("k", 1)).toMatchObject({ refunded: 1, remaining: 3 });
  expect(await limiter.settle("k", { reserved: 5, actual: 3 })).toMatchObject({ refunded: 2 });
  const start = await limiter.reserve("k", { cost: 7 });
  expect(start.allowed && (await start.cancel())).toBe(true);
  expect((await limiter.peek("k")).remaining).toBe(5);
  return (await behind.keys(`${namespace}:*!*`)).length;
}

describe("a mark is left", () => {
  test.each(Object.entries(marking))("through %s", async (_, open) => {
    expect(await marksLeftBy(new RedisStore({ client: await open(inject("redisUrl")) }))).toBe(3);
  });

  test.each(["valkey-glide", "upstash", "Bun's send", "a function"] as const)(
    "through %s, of which nothing is known",
    async (name) => {
      const { client, close } = await clients[name]();
      onTestFinished(close);
      expect(await marksLeftBy(new RedisStore({ client }))).toBe(3);
    },
  );
});

describe("no mark is left", () => {
  test.each(Object.entries(sendingOnce))("through %s", async (_, open) => {
    expect(await marksLeftBy(new RedisStore({ client: await open(inject("redisUrl")) }))).toBe(0);
  });

  test("through a connection of the store's own", async () => {
    const store = new RedisStore({ url: inject("redisUrl") });
    onTestFinished(() => store.close());
    expect(await marksLeftBy(store)).toBe(0);
  });
});

describe("refunds whose answers are lost with the connection give back once", () => {
  test.each([
    ...Object.entries({ ...marking, ...sendingOnce }),
    ["a connection of the store's own", undefined] as const,
  ])("through %s", async (_, open) => {
    const { url } = proxy;
    const store = new RedisStore({
      // Of ioredis, told not to send again, what was under way has no end.
      maxInFlight: 100,
      ...(open === undefined ? { url } : { client: await open(url) }),
    });
    const { limiter, namespace } = limiterOn(store);
    const direct = new RateLimiter({
      policy,
      store: new RedisStore({ client: behind }),
      namespace,
      timeout: "30s",
    });
    await direct.consume("k", { cost: 500 });
    const refunds: Promise<unknown>[] = [];
    for (let i = 1; i <= CUTS; i++) {
      await eventually(() => limiter.peek("k"));
      const { cuts } = proxy;
      // The server has done it, and nobody hears of it.
      proxy.cutAfter("replies", 0);
      refunds.push(limiter.refund("k", 1).catch(() => {}));
      await eventually(async () => {
        expect(proxy.cuts).toBe(cuts + 1);
      });
    }
    // Behind whatever is sent again.
    await eventually(() => limiter.peek("k"));
    expect((await direct.peek("k")).remaining).toBe(500 + CUTS);
    await store.close();
    await Promise.all(refunds);
  });
});

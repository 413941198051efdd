/** new RedisStore({ url }): a connection that the first call opens, on real servers and where there is none. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { inspect, promisify } from "node:util";
import { expect, onTestFinished, test, vi } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { RateLimiter, type RateLimiterOptions, Semaphore, tokenBucket } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { buildPackage } from "../support/built.js";
import { clients } from "../support/clients.js";
import { startCluster } from "../support/cluster.js";
import { eventually } from "../support/eventually.js";

const policy = tokenBucket({ limit: 10, period: "1d" });
const SECRET = "tr0ub4dor-and-3";

function limiterOn(store: RedisStore, options: Partial<RateLimiterOptions> = {}): RateLimiter {
  return new RateLimiter({ policy, store, onStoreFailure: "throw", timeout: "30s", ...options });
}

async function silentServer(): Promise<{
  readonly port: number;
  readonly connections: () => number;
}> {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.on("error", () => {}).resume();
    socket.on("close", () => (connections -= 1));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, connections: () => connections };
}

test("the first call connects, whatever came before it", async () => {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const store = new RedisStore({ url: redis.url });
  const limiter = limiterOn(store);
  const operator = await clients.ioredis({ url: redis.url });
  const connected = async (): Promise<number> =>
    String(await operator.command("CLIENT", "LIST"))
      .trim()
      .split("\n").length - 1;
  expect(await connected()).toBe(0);
  // In the order in which they came, those that waited for the connection first.
  const decisions = await Promise.all([1, 2, 3].map(() => limiter.consume("k")));
  expect(decisions.map(({ remaining }) => remaining)).toEqual([9, 8, 7]);
  expect(decisions[0]?.source).toBe("store");
  expect(await connected()).toBe(1);
  await store.close();
  await eventually(async () => expect(await connected()).toBe(0));
  await operator.close();
});

test("a server that is not there is a failure of the store, until it is there", async () => {
  const redis = await startRedis();
  await redis.stop();
  const unhandled = vi.fn();
  process.on("unhandledRejection", unhandled);
  onTestFinished(() => void process.off("unhandledRejection", unhandled));
  const store = new RedisStore({ url: `redis://:${SECRET}@127.0.0.1:${redis.port}` });
  const onError = vi.fn();
  const limiter = limiterOn(store, {
    onStoreFailure: "open",
    breaker: { probeEvery: "10ms" },
    hooks: { onError },
  });
  const semaphore = new Semaphore({ limit: 1, store, timeout: "60s" });
  expect(await limiter.consume("k")).toMatchObject({ allowed: true, source: "fail-open" });
  await expect(semaphore.acquire("k", { maxWait: 0 })).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
  });
  expect(inspect(onError.mock.calls, { depth: 9 })).toMatch(/cannot connect to .*ECONNREFUSED/);
  expect(inspect([onError.mock.calls, store, limiter], { depth: 9 })).not.toContain(SECRET);

  const back = await startRedis({ port: redis.port, args: ["--requirepass", SECRET] });
  onTestFinished(back.stop);
  await eventually(async () =>
    expect(await limiter.consume("k")).toMatchObject({ source: "store", remaining: 9 }),
  );
  await (await semaphore.acquire("k")).release();
  await store.close();
  expect(unhandled).not.toHaveBeenCalled();
});

test("a call whose caller has gone is not sent once the connection is open", async () => {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const store = new RedisStore({ url: redis.url });
  onTestFinished(() => store.close());
  const limiter = limiterOn(store);
  const gone = new AbortController();
  const dropped = limiter.consume("k", { signal: gone.signal });
  gone.abort(new Error("gone"));
  await expect(dropped).rejects.toThrow("gone");
  expect(await limiter.consume("k")).toMatchObject({ remaining: 9 });
});

test("close before, while and after connecting ends calls and the connection", async () => {
  const { port, connections } = await silentServer();
  const before = new RedisStore({ url: `redis://127.0.0.1:${port}` });
  const late = limiterOn(before);
  await before.close();
  await expect(late.consume("k")).rejects.toMatchObject({ code: "CLOSED" });
  expect(connections()).toBe(0);

  const meanwhile = new RedisStore({ url: `redis://127.0.0.1:${port}` });
  const limiter = limiterOn(meanwhile);
  const semaphore = new Semaphore({ limit: 1, store: meanwhile });
  const calls = Promise.allSettled([limiter.consume("k"), semaphore.acquire("k")]);
  await eventually(() => expect(connections()).toBe(1));
  await meanwhile.close();
  const closed = { status: "rejected", reason: { code: "CLOSED" } };
  expect(await calls).toMatchObject([closed, closed]);
  await eventually(() => expect(connections()).toBe(0));
});

test("a Cluster is followed, node by node", async () => {
  const cluster = await startCluster();
  onTestFinished(() => cluster.stop());
  const [port] = cluster.ports;
  const store = new RedisStore({ url: `redis://127.0.0.1:${port}`, cluster: true });
  onTestFinished(() => store.close());
  const limiter = limiterOn(store);
  const parts = new Set<string>();
  limiter.events.on("storeCall", ({ part }) => void parts.add(part));
  const keys = Array.from({ length: 24 }, (_, i) => `k${i}`);
  for (const round of [9, 8]) {
    const decisions = await Promise.all(keys.map((key) => limiter.consume(key)));
    expect(decisions.every(({ remaining }) => remaining === round)).toBe(true);
  }
  expect([...parts].filter((part) => part !== "").length).toBe(3);
});

test("waiters of a semaphore are notified, also the first", async () => {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const store = new RedisStore({ url: redis.url });
  onTestFinished(() => store.close());
  const semaphore = new Semaphore({ limit: 1, store, name: "heard", timeout: "30s" });
  const [held, next] = [semaphore.acquire("k"), semaphore.acquire("k", { maxWait: "2m" })];
  const operator = await clients.ioredis({ url: redis.url });
  await eventually(async () =>
    expect(await operator.command("PUBSUB", "CHANNELS", "sluice:wake:*")).toHaveLength(1),
  );
  await (await held).release();
  await (await next).release();
  await operator.close();
});

/** One expression at module level, in CommonJS. */
const PROGRAM = `
const { RateLimiter, tokenBucket } = require("./dist/index.js");
const { RedisStore } = require("./dist/stores/redis/index.js");
const store = new RedisStore({ url: process.argv[2] });
const limiter = new RateLimiter({
  policy: tokenBucket({ limit: 10, period: "1d" }), store, onStoreFailure: "throw", timeout: "30s",
});
limiter.consume("k").then(
  ({ remaining }) => console.log(remaining),
  ({ code, message }) => console.log(code, message),
).finally(() => store.close());
`;

test("in CommonJS, with ioredis alone", async () => {
  const redis = await startRedis();
  onTestFinished(redis.stop);
  const built = await buildPackage(["ioredis"]);
  onTestFinished(built.remove);
  const program = join(built.directory, "url.cjs");
  writeFileSync(program, PROGRAM);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, redis.url]);
  expect({ stdout, stderr }).toEqual({ stdout: "9\n", stderr: "" });
});

/** Prefetch of several processes on one real Redis: what they admit together, what it costs, what is left. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import {
  type Duration,
  fixedWindow,
  RateLimiter,
  type RateLimiterOptions,
  tokenBucket,
} from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { startProxy } from "../faults/support/proxy.js";
import { type Running, startNode } from "../support/processes.js";
import { startVictim } from "../support/servers.js";

const LIMIT = 2000;
const SIZE = 50;
const PROCESSES = 4;
const policy = fixedWindow({ limit: LIMIT, window: "1h", align: "first" });

/** Consumes one key until told to stop or denied, then tells how many were admitted. */
const WORKER = `
import { fixedWindow, RateLimiter } from "./dist/index.js";
import { RedisStore } from "./dist/stores/redis/index.js";
const [url, calls, ending] = process.argv.slice(2);
const store = await RedisStore.connect(url);
const limiter = new RateLimiter({
  policy: fixedWindow({ limit: ${LIMIT}, window: "1h", align: "first" }),
  store,
  onStoreFailure: "throw",
  timeout: "30s",
  prefetch: { size: ${SIZE}, ttl: "1h" },
});
let admitted = 0;
const one = async () => { if ((await limiter.consume("hot")).allowed) admitted += 1; };
for (let made = 0; made < Number(calls); made += 10) await Promise.all(Array.from({ length: 10 }, one));
if (ending === "close") await limiter.close();
console.log(admitted);
if (ending === "crash") process.kill(process.pid, "SIGKILL");
await store.close();
`;

let redis: Awaited<ReturnType<typeof startRedis>>;
let admin: Redis;
let built: BuiltPackage;

beforeAll(async () => {
  [redis, built] = await Promise.all([startRedis(), buildPackage(["redis"])]);
  writeFileSync(join(built.directory, "worker.mjs"), WORKER);
  admin = new Redis(redis.url);
});

afterAll(async () => {
  admin.disconnect();
  built.remove();
  await redis.stop();
});

async function work(calls: number, ending: "close" | "crash"): Promise<number> {
  const run: Running = startNode([
    join(built.directory, "worker.mjs"),
    redis.url,
    `${calls}`,
    ending,
  ]);
  const { stdout, stderr, code } = await run.ended;
  if (ending === "close") expect([code, stderr]).toEqual([0, ""]);
  return Number(stdout);
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

async function remaining(): Promise<number> {
  const store = new RedisStore({ client: admin });
  const limiter = new RateLimiter({ policy, store, onStoreFailure: "throw", timeout: "30s" });
  const { remaining: left } = await limiter.peek("hot");
  await limiter.close();
  return left;
}

/** Scripts run since the last look. */
async function scriptCalls(): Promise<number> {
  const info = await admin.info("commandstats");
  await admin.config("RESETSTAT");
  return sum([...info.matchAll(/^cmdstat_eval(?:sha)?:calls=(\d+)/gm)].map(([, n]) => Number(n)));
}

test("four processes admit the limit together, in a fraction of the calls", async () => {
  await admin.flushall();
  await scriptCalls();
  const admitted = await Promise.all(
    Array.from({ length: PROCESSES }, () => work(LIMIT / PROCESSES + 100, "close")),
  );
  // In a window that began after all prefetches no unit is held from before: the limit itself is the bound.
  expect(sum(admitted)).toBeLessThanOrEqual(LIMIT);
  expect(LIMIT - sum(admitted)).toBe(await remaining());
  const calls = PROCESSES * (LIMIT / PROCESSES + 100);
  expect(await scriptCalls()).toBeLessThan(calls / 10);
});

test("close returns exactly what was not used", async () => {
  await admin.flushall();
  const admitted = await Promise.all([10, 130, 220].map((calls) => work(calls, "close")));
  expect(admitted).toEqual([10, 130, 220]);
  expect(await remaining()).toBe(LIMIT - 360);
});

test("a crash loses less than the size", async () => {
  await admin.flushall();
  const admitted = await Promise.all([10, 130, 220].map((calls) => work(calls, "crash")));
  const lost = LIMIT - sum(admitted) - (await remaining());
  expect(lost).toBe(40 + 20 + 30);
  expect(lost).toBeLessThan(3 * SIZE);
});

test("a window admits its limit and what was held before it, at most", async () => {
  await admin.flushall();
  const window = 400;
  const limit = 300;
  const clients = Array.from({ length: PROCESSES }, () => new Redis(redis.url));
  const limiters = clients.map(
    (client) =>
      new RateLimiter({
        policy: fixedWindow({ limit, window }),
        store: new RedisStore({ client }),
        onStoreFailure: "throw",
        timeout: "30s",
        prefetch: { size: SIZE, ttl: "1s" },
      }),
  );
  onTestFinished(async () => {
    await Promise.all(limiters.map((limiter) => limiter.close()));
    for (const client of clients) client.disconnect();
  });
  // Leased units are spent at a time that only this process's clock knows: the decision's own guess of the
  // server's clock puts them in a window.
  const byWindow = new Map<number, number>();
  const most = (): number => Math.max(...byWindow.values());
  // Not for a time: on a busy machine whole windows pass in which nobody gets to ask.
  const isEnough = (): boolean => byWindow.size > 4 && most() > SIZE;
  await Promise.all(
    limiters.map(async (limiter, i) => {
      while (!isEnough()) {
        const { allowed, decidedAtUs } = await limiter.consume("hot");
        const index = Math.floor(decidedAtUs / (window * 1e3));
        if (allowed) byWindow.set(index, (byWindow.get(index) ?? 0) + 1);
        // Each at a pace of its own, so that prefetches are open when a window ends.
        await new Promise((resolve) => setTimeout(resolve, i));
      }
    }),
  );
  expect(most()).toBeLessThanOrEqual(limit + PROCESSES * SIZE);
  // Also those that nobody asked in: their units may have been prefetched.
  const windows = 1 + Math.max(...byWindow.keys()) - Math.min(...byWindow.keys());
  expect(sum([...byWindow.values()])).toBeLessThanOrEqual(windows * limit + PROCESSES * SIZE);
});

/** A limiter that prefetches through a client of its own. */
function prefetching(url: string, ttl: Duration, options: Partial<RateLimiterOptions> = {}) {
  const client = new Redis(url);
  client.on("error", () => {});
  onTestFinished(() => {
    client.disconnect();
  });
  const store = new RedisStore({ client, maxInFlight: 1 });
  const limiter = new RateLimiter({
    policy,
    store,
    onStoreFailure: "throw",
    timeout: "30s",
    prefetch: { size: SIZE, ttl },
    ...options,
  });
  return { limiter, store };
}

test("a server whose answers take longer than the ttl loses nothing", async () => {
  await admin.flushall();
  const proxy = await startProxy(redis.port);
  onTestFinished(() => proxy.stop());
  const { limiter } = prefetching(proxy.url, 10);
  await limiter.peek("hot");
  proxy.delay(15);
  for (let i = 0; i < 8; i++) {
    expect(await limiter.consume("hot")).toMatchObject({ allowed: true, source: "prefetch" });
  }
  await limiter.close();
  expect(await remaining()).toBe(LIMIT - 8);
});

test("an answer that waits in the socket beyond the ttl, while the process is busy, loses nothing", async () => {
  await admin.flushall();
  const { limiter } = prefetching(redis.url, 50);
  await limiter.peek("hot");
  const consuming = limiter.consume("hot");
  // The call is sent at the end of the tick, by clients a turn later.
  await new Promise((resolve) => setImmediate(resolve));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 120);
  expect((await consuming).source).toBe("prefetch");
  await limiter.close();
  expect(await remaining()).toBe(LIMIT - 1);
});

test("a debit that could not be sent in time does not end the prefetching of its key", async () => {
  const server = await startVictim();
  onTestFinished(() => server.stop());
  const options = { timeout: 100, onStoreFailure: "closed", breaker: false } as const;
  const { limiter, store } = prefetching(server.url, "1h", options);
  await limiter.peek("hot");
  server.suspend();
  const beside = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }), store });
  // The only batch under way, behind which the debit waits.
  const other = beside.consume("other");
  await new Promise((resolve) => setImmediate(resolve));
  expect((await limiter.consume("hot")).source).toBe("fail-closed");
  expect((await limiter.consume("hot")).source).toBe("fail-closed");
  server.resume();
  await other;
  await expect.poll(async () => (await limiter.consume("hot")).source).toBe("prefetch");
  await limiter.close();
  await beside.close();
});

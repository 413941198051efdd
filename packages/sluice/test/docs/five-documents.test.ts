/**
 * Every code sample of the five documents that Sluice was measured against, written for Sluice and run on a real Redis. The
 * names are those of docs/migrating.md, whose tables have the options one by one. Their command lines run in
 * packages/cli/test/redis/five-documents.test.ts; cluster_mode is in ../redis/connect.test.ts, OpenTelemetry in src/otel, and
 * GraphQL in ../http/graphql.test.ts.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import express from "express";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { rateLimit } from "../../src/adapters/express.js";
import {
  type Decision,
  fixedWindow,
  leakyBucket,
  MaxWaitExceededError,
  MemoryStore,
  RateLimiter,
  Semaphore,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../src/index.js";
import { metrics } from "../../src/prometheus/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";

const timeout = "30s";

let store: RedisStore;
beforeAll(async () => {
  store = await RedisStore.connect(inject("redisUrl"));
});
afterAll(() => store.close());

/** A route of each document's app, called `times` times. */
async function statusesOf(app: express.Express, path: string, times: number) {
  const server = app.listen(0, "127.0.0.1");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const answers: Response[] = [];
  for (let call = 0; call < times; call++) {
    const headers = { "X-API-Key": "k-1" };
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
    await answer.text();
    answers.push(answer);
  }
  return answers;
}

describe("a Python Redis client with allow_call", () => {
  test("allow_call(id, period, tokens_per_period, tokens_required) is one call with a policy of its own", async () => {
    const policy = tokenBucket({ limit: 1, period: "1h" });
    const limiter = new RateLimiter({ policy, store, timeout, namespace: "five-1" });
    const allowCall = async (id: string, periodUs: number, perPeriod: number, required = 1) => {
      const own = tokenBucket({ limit: perPeriod, period: `${periodUs}us` });
      const { allowed, decidedAtUs } = await limiter.consume(id, { cost: required, policy: own });
      return [allowed, decidedAtUs] as const;
    };
    const anHour = 3_600_000_000;
    const answers = [];
    for (let call = 0; call < 3; call++) {
      answers.push(await allowCall("myresource:someclient", anHour, 10.5, 4.5));
    }
    expect(answers.map(([allowed]) => allowed)).toEqual([true, true, false]);
    const times = answers.map(([, decidedAtUs]) => decidedAtUs);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(times.every(Number.isInteger)).toBe(true);
    // The numbers may change from call to call: 9 of 20 are in use.
    expect(await allowCall("myresource:someclient", anHour, 20, 11)).toEqual([
      true,
      expect.any(Number),
    ]);
  });
});

describe("redis-rate-limiters", () => {
  test("async with AsyncSemaphore(capacity=5, max_sleep=30, expiry=30): 100 tasks, five at a time", async () => {
    const options = { name: "foo", limit: 5, leaseDuration: "30s", store, timeout } as const;
    const semaphore = new Semaphore(options);
    onTestFinished(() => semaphore.close());
    let running = 0;
    let most = 0;
    const getFoo = async (): Promise<void> => {
      await using permit = await semaphore.acquire("foo", { maxWait: "30m" });
      expect(permit.lost.aborted).toBe(false);
      most = Math.max(most, ++running);
      await new Promise(setImmediate);
      running -= 1;
    };
    await Promise.all(Array.from({ length: 100 }, getFoo));
    expect(most).toBe(5);
    expect(await semaphore.inspect("foo")).toEqual({ limit: 5, held: 0, waiting: 0 });
  });

  test("a semaphore that stays full raises MaxSleepExceededError: MaxWaitExceededError", async () => {
    const semaphore = new Semaphore({ name: "full", limit: 1, store, timeout });
    onTestFinished(() => semaphore.close());
    await using permit = await semaphore.acquire("foo");
    const late = semaphore.withPermit("foo", () => "never", { maxWait: "20ms" });
    await expect(late).rejects.toThrow(MaxWaitExceededError);
    expect(permit.lost.aborted).toBe(false);
  });

  test("async with AsyncTokenBucket(capacity=5, refill_frequency=1, refill_amount=1): five at once, then one a second", async () => {
    const clock = new ManualClock();
    const policy = tokenBucket({ burst: 5, limit: 1, period: "1s", refill: "interval" });
    const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
    const startedMs: number[] = [];
    const beganUs = clock.nowUs();
    const getFoo = async (): Promise<void> => {
      await limiter.acquire("foo", { maxWait: "30s" });
      startedMs.push((clock.nowUs() - beganUs) / 1000);
    };
    const calls = Array.from({ length: 8 }, getFoo);
    await clock.advanceAsync(3000);
    await Promise.all(calls);
    expect(startedMs).toEqual([0, 0, 0, 0, 0, 1000, 2000, 3000]);
  });

  test("a bucket without a token for 30 seconds raises MaxSleepExceededError, at once and for nothing", async () => {
    const policy = tokenBucket({ limit: 1, period: "1h" });
    const limiter = new RateLimiter({ policy, store, timeout, namespace: "five-2" });
    await limiter.acquire("foo");
    const late = limiter.acquire("foo", { maxWait: "30s" });
    await expect(late).rejects.toThrow(MaxWaitExceededError);
    expect((await limiter.peek("foo")).retryAfterMs).toBeLessThanOrEqual(3_600_000);
  });

  test("@limit(name, capacity) around a function is wrap", async () => {
    const semaphore = new Semaphore({ name: "wrapped", limit: 5, store, timeout });
    onTestFinished(() => semaphore.close());
    const fetchFoo = semaphore.wrap(async (id: string) => `foo ${id}`, { key: "foo" });
    expect(await fetchFoo("7")).toBe("foo 7");
  });
});

test("the INCR limiter of blog posts: lock() in a loop, by a hundred workers", async () => {
  const policy = fixedWindow({ limit: 60, window: "1s", align: "first" });
  const clock = new ManualClock();
  const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
  const lock = async (uid: string): Promise<boolean> => (await limiter.consume(uid)).allowed;
  let done = 0;
  const work = async (): Promise<void> => {
    while (!(await lock("worker-pool"))) await clock.sleep(500);
    done += 1;
  };
  const workers = Array.from({ length: 100 }, work);
  await clock.advanceAsync(999);
  expect(done).toBe(60);
  await clock.advanceAsync(1);
  await Promise.all(workers);
  expect(done).toBe(100);
  const shared = new RateLimiter({ policy, store, timeout, namespace: "five-3" });
  const answers = await Promise.all(Array.from({ length: 100 }, () => shared.consume("pool")));
  expect(answers.filter(({ allowed }) => allowed)).toHaveLength(60);
});

describe("distributed-rate-limiter", () => {
  const policy = tokenBucket({ limit: 100, period: "60s" });

  test("RateLimiter(redis_url, rate, period, namespace).allow(identity), and allow_async", async () => {
    const limiter = new RateLimiter({ policy, store, timeout, namespace: "five-4" });
    const result = await limiter.consume("user:12345");
    expect(result).toMatchObject({ allowed: true, remaining: 99 });
    const resetTimestamp = result.decidedAtUs / 1e6 + result.resetAfterMs / 1e3;
    expect(resetTimestamp - result.decidedAtUs / 1e6).toBeCloseTo(0.6, 3);
  });

  test("FastAPI: middleware for every route, by the client's address; Flask: a limit on one route", async () => {
    const app = express();
    const all = new RateLimiter({ policy, store, timeout, namespace: "five-5" });
    const two = tokenBucket({ name: "route", limit: 2, period: "60s" });
    const one = new RateLimiter({ policy: two, store, timeout, namespace: "five-5" });
    app.use(rateLimit(all));
    const byAddress = { charge: (request: express.Request) => ({ limiter: one, key: request.ip }) };
    app.get("/api/data", rateLimit(byAddress), (_request, response) => {
      response.json({ message: "Hello, World!" });
    });
    const answers = await statusesOf(app, "/api/data", 3);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
    expect(answers[2]?.headers.get("Retry-After")).toBe("30");
    // Its roadmap: header fields.
    expect(answers[0]?.headers.get("RateLimit-Policy")).toContain('"token-bucket";q=100;w=60');
  });

  test("rate=100, burst=20; and what was coming soon, a sliding window", async () => {
    const burst = tokenBucket({ limit: 100, period: "60s", burst: 20 });
    for (const [each, least] of [
      [burst, 20],
      [slidingWindow({ limit: 20, window: "60s" }), 20],
      [slidingLog({ limit: 20, window: "60s" }), 20],
    ] as const) {
      const limiter = new RateLimiter({ policy: each, store, timeout, namespace: "five-6" });
      const calls = Array.from({ length: 30 }, () => limiter.consume(each.name));
      const allowed = (await Promise.all(calls)).filter((decision) => decision.allowed);
      expect(allowed.length).toBeGreaterThanOrEqual(least);
      expect(allowed.length).toBeLessThan(30);
    }
  });

  test("a URL, a password in it, or a client", async () => {
    const { host, port } = new Redis(inject("redisUrl"), { lazyConnect: true }).options;
    const admin = new Redis(inject("redisUrl"));
    await admin.call("ACL", "SETUSER", "five", "on", ">password", "~*", "&*", "+@all");
    onTestFinished(async () => {
      await admin.call("ACL", "DELUSER", "five");
      admin.disconnect();
    });
    const url = `redis://five:password@${host}:${port}`;
    const client = createClient({ url });
    await client.connect();
    for (const each of [
      new RedisStore({ url: inject("redisUrl") }),
      new RedisStore({ url }),
      new RedisStore({ client: admin }),
      new RedisStore({ client }),
    ]) {
      const limiter = new RateLimiter({ policy, store: each, timeout, namespace: "five-7" });
      expect((await limiter.consume("k")).source).toBe("store");
      await limiter.close();
      await each.close();
    }
    await client.close();
  });

  test('fail_strategy="open" and "closed"', async () => {
    const down = new RedisStore({ client: () => Promise.reject(new Error("connection refused")) });
    const hooks = { onError: () => {} };
    const answers: Record<string, boolean> = {};
    for (const onStoreFailure of ["open", "closed"] as const) {
      const limiter = new RateLimiter({ policy, store: down, onStoreFailure, hooks });
      const { allowed, source } = await limiter.consume("user:12345");
      answers[source] = allowed;
    }
    expect(answers).toEqual({ "fail-open": true, "fail-closed": false });
  });

  test("namespaces are apart", async () => {
    const api = new RateLimiter({ policy, store, timeout, namespace: "five-api" });
    const ten = tokenBucket({ limit: 10, period: "60s" });
    const auth = new RateLimiter({ policy: ten, store, timeout, namespace: "five-auth" });
    await api.consume("user:12345", { cost: 50 });
    expect((await auth.consume("user:12345")).remaining).toBe(9);
  });

  test("on_allow, on_block and on_error", async () => {
    const heard: string[] = [];
    const one = tokenBucket({ limit: 1, period: "60s" });
    const note = (event: string) => (info: { key: string; decision?: Decision | undefined }) => {
      heard.push(`${event} ${info.key} ${info.decision?.remaining}`);
    };
    const hooks = { onAllowed: note("allow"), onDenied: note("block"), onError: note("error") };
    const limiter = new RateLimiter({ policy: one, store, timeout, namespace: "five-9", hooks });
    await limiter.consume("user:12345");
    await limiter.consume("user:12345");
    const down = new RedisStore({ client: () => Promise.reject(new Error("connection refused")) });
    await new RateLimiter({ policy: one, store: down, hooks, onStoreFailure: "open" }).consume("k");
    expect(heard.slice(0, 2)).toEqual(["allow user:12345 0", "block user:12345 0"]);
    expect(heard).toContainEqual(expect.stringMatching(/^error k /));
  });

  test("identities are hashed, and keys are namespace, policy and hash", async () => {
    const admin = new Redis(inject("redisUrl"));
    onTestFinished(() => admin.disconnect());
    const limiter = new RateLimiter({ policy, store, timeout, namespace: "five-10" });
    await limiter.consume("user@example.com");
    const keys = await admin.keys("five-10:*");
    const digest = createHash("sha256").update("user@example.com").digest().subarray(0, 16);
    expect(keys).toEqual([`five-10:token-bucket:{${digest.toString("base64url")}}`]);
    expect(await admin.pttl(keys[0] ?? "")).toBeGreaterThan(0);
  });

  test("Prometheus metrics, its roadmap", async () => {
    const limiter = new RateLimiter({ policy, store, timeout, namespace: "five-11" });
    await limiter.consume("user:12345");
    const page = metrics([limiter]).fetch(new Request("http://127.0.0.1/metrics"));
    expect(await page.text()).toContain('outcome="allowed"} 1');
  });
});

describe("a token and leaky bucket library", () => {
  test("TokenBucketMemory(capacity=10, refill_rate=2.0).allow_request(id)", () => {
    const clock = new ManualClock();
    const policy = tokenBucket({ burst: 10, limit: 2, period: "1s" });
    const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
    const results = Array.from({ length: 11 }, () => limiter.consumeSync("user123"));
    expect(results[0]).toMatchObject({ allowed: true, remaining: 9, retryAfterMs: 0 });
    expect(results[10]).toMatchObject({ allowed: false, remaining: 0, retryAfterMs: 500 });
  });

  test("TokenBucketRedis and LeakyBucketRedis are the same policies on a store", async () => {
    for (const policy of [
      tokenBucket({ burst: 100, limit: 10, period: "1s" }),
      leakyBucket({ capacity: 100, limit: 10, period: "1s" }),
    ]) {
      const limiter = new RateLimiter({ policy, store, timeout, namespace: "five-12" });
      expect(await limiter.consume("user456")).toMatchObject({ allowed: true, remaining: 99 });
    }
  });

  test("LeakyBucketMemory(capacity=5, leak_rate=2.0), and requests at a constant rate", async () => {
    const clock = new ManualClock();
    const policy = leakyBucket({ capacity: 5, limit: 2, period: "1s" });
    const limiter = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
    const results = Array.from({ length: 6 }, () => limiter.consumeSync("user789"));
    expect(results.map(({ allowed }) => allowed)).toEqual([true, true, true, true, true, false]);
    const beganUs = clock.nowUs();
    const startedMs: number[] = [];
    const calls = Array.from({ length: 5 }, () =>
      limiter.acquire("queued").then(() => startedMs.push((clock.nowUs() - beganUs) / 1000)),
    );
    await expect(limiter.acquire("queued")).rejects.toThrow("the queue is full");
    await clock.advanceAsync(2000);
    await Promise.all(calls);
    expect(startedMs).toEqual([0, 500, 1000, 1500, 2000]);
  });

  test("an API gateway: 429 with Retry-After, by API key", async () => {
    const app = express();
    const policy = tokenBucket({ burst: 2, limit: 1, period: "10s" });
    const limiter = new RateLimiter({ policy, store, timeout, namespace: "five-13" });
    app.use(rateLimit({ charge: (request) => ({ limiter, key: request.get("X-API-Key") ?? "" }) }));
    app.get("/", (_request, response) => {
      response.send("ok");
    });
    const answers = await statusesOf(app, "/", 3);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
    expect(answers[2]?.headers.get("Retry-After")).toBe("10");
  });

  test("user actions: one post a second, ten at once", () => {
    const clock = new ManualClock();
    const policy = leakyBucket({ capacity: 10, limit: 1, period: "1s" });
    const posts = new RateLimiter({ policy, store: new MemoryStore({ clock }) });
    const createPost = (userId: number): string => {
      const result = posts.consumeSync(`user:${userId}:posts`);
      if (!result.allowed) throw new Error(`Please wait ${result.retryAfterMs / 1000} seconds`);
      return "saved";
    };
    for (let post = 0; post < 10; post++) expect(createPost(42)).toBe("saved");
    expect(() => createPost(42)).toThrow("Please wait 1 seconds");
  });

  test("many application servers share one limit", async () => {
    const policy = tokenBucket({ burst: 50, limit: 1, period: "1h" });
    const servers = await Promise.all(
      Array.from({ length: 3 }, () => RedisStore.connect(inject("redisUrl"))),
    );
    onTestFinished(async () => {
      await Promise.all(servers.map((server) => server.close()));
    });
    const calls = servers.flatMap((server) => {
      const limiter = new RateLimiter({ policy, store: server, timeout, namespace: "five-14" });
      return Array.from({ length: 30 }, () => limiter.consume("global:api:limit"));
    });
    const answers = await Promise.all(calls);
    expect(answers.filter(({ allowed }) => allowed)).toHaveLength(50);
  });

  test("dynamic rates, its plans: another policy from now on", async () => {
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1h" }) });
    limiter.consumeSync("k", { cost: 4 });
    limiter.setPolicy(tokenBucket({ limit: 100, period: "1h" }));
    expect((await limiter.consume("k")).remaining).toBeGreaterThan(90);
  });
});

/** What reaches the server: scripts that survive being forgotten, keys of a fixed form, nobody's identity. */
import { createHash, createHmac } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { systemClock } from "../../src/core/clock.js";
import {
  calendarWindow,
  consumeAtomic,
  fixedWindow,
  gcra,
  type Policy,
  RateLimiter,
  type RateLimiterOptions,
  slidingLog,
  StoreUnavailableError,
  tokenBucket,
} from "../../src/index.js";
import { scriptRunner } from "../../src/stores/redis/clients/index.js";
import { RedisStore, type RunScript } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { clients, type TestClient } from "../support/clients.js";
import { namedSlowPolicies, slowPolicies } from "../support/policies.js";

let server: Awaited<ReturnType<typeof startRedis>>;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
afterAll(async () => {
  await redis.quit();
  await server.stop();
});

let namespaces = 0;

/** A limiter on `client` with a namespace of its own; a failure of the store shows. */
function limiterOn(
  client: TestClient["client"],
  policy: Policy | readonly Policy[],
  options: Partial<Omit<RateLimiterOptions, "store">> = {},
): RateLimiter {
  namespaces += 1;
  const limiter = new RateLimiter({
    policy,
    store: new RedisStore({ client }),
    namespace: `n${namespaces}`,
    onStoreFailure: "throw",
    timeout: "30s",
    ...options,
  });
  onTestFinished(() => limiter.close());
  return limiter;
}

const idOf = (key: string): string =>
  createHash("sha256").update(key).digest().subarray(0, 16).toString("base64url");

/** Where the only policy of the limiter made last keeps `key`. */
async function keyOf(limiter: RateLimiter, key: string): Promise<string> {
  await limiter.consume(key, { cost: 0.001 });
  const [name = ""] = await redis.keys(`n${namespaces}:*`);
  await redis.del(name);
  return name;
}

test("a batch whose script the server has never seen is not overtaken by the next one", async () => {
  await redis.script("FLUSH");
  const connection = await clients.ioredis({ url: server.url });
  onTestFinished(connection.close);
  const store = new RedisStore({ client: connection.client, maxBatch: 2 });
  const namespace = "overtaken";
  const options = { store, namespace, onStoreFailure: "throw", timeout: "30s" } as const;
  const bucket = new RateLimiter({
    ...options,
    policy: tokenBucket({ limit: 10, period: "365d" }),
  });
  const log = new RateLimiter({ ...options, policy: slidingLog({ limit: 10, window: "365d" }) });
  // The server knows the bucket's script, and not that of a batch for both.
  await bucket.consume("k");
  const decisions = await Promise.all([
    bucket.consume("k"),
    log.consume("k"),
    bucket.consume("k"),
    bucket.consume("k"),
  ]);
  expect(decisions.map(({ remaining }) => remaining)).toEqual([8, 9, 7, 6]);
});

test("a script call makes no more decisions than maxBatch, but for a call that is more by itself", async () => {
  const sizes: number[] = [];
  const run: RunScript = (_sha, source, keys, args) => {
    sizes.push(keys.length);
    return redis.eval(source, keys.length, ...keys, ...args);
  };
  const store = new RedisStore({ client: run, maxBatch: 20, maxInFlight: 1 });
  const limiterOver = (count: number): RateLimiter => {
    const policy = Array.from({ length: count }, (_, i) =>
      tokenBucket({ name: `p${i}`, limit: 100, period: "365d" }),
    );
    const options = { store, namespace: `of${count}`, onStoreFailure: "throw" } as const;
    return new RateLimiter({ policy, ...options, timeout: "30s" });
  };
  const [few, many] = [limiterOver(5), limiterOver(25)];
  const keys = Array.from({ length: 30 }, (_, i) => `key ${i % 10}`);
  const decisions = await Promise.all([
    ...keys.map((key) => few.consume(key)),
    many.consume("key"),
    few.consume("key 0"),
  ]);
  expect(decisions.map(({ remaining }) => remaining)).toEqual([
    ...keys.map((_, i) => 99 - Math.floor(i / 10)),
    99,
    96,
  ]);
  expect(sizes).toContain(25);
  expect(sizes.filter((size) => size > 20)).toEqual([25]);
  expect(sizes.filter((size) => size === 20).length).toBeGreaterThanOrEqual(3);
});

describe("a script cache that was flushed", () => {
  test.each(Object.keys(clients) as (keyof typeof clients)[])(
    "is filled again by the next call through %s",
    async (name) => {
      const connection = await clients[name]({ url: server.url });
      onTestFinished(connection.close);
      const limiter = limiterOn(connection.client, namedSlowPolicies);
      for (const remaining of [9, 8, 7]) {
        await redis.script("FLUSH");
        expect((await limiter.consume("k")).remaining).toBe(remaining);
      }
    },
  );

  test("neither loses nor doubles any of many calls under way", async () => {
    const limit = 1500;
    const policy = fixedWindow({ limit, window: "365d", align: "first" });
    const through = await Promise.all([
      clients.ioredis({ url: server.url }),
      clients["node-redis"]({ url: server.url }),
    ]);
    const namespace = "flushed";
    const limiters = through.map(({ client }) => limiterOn(client, policy, { namespace }));

    const done = new AbortController();
    const flushes = (async (): Promise<number> => {
      let count = 0;
      for (; !done.signal.aborted; count++) await redis.script("FLUSH");
      return count;
    })();
    const consume = async (limiter: RateLimiter): Promise<number> => {
      let allowed = 0;
      for (let i = 0; i < 50; i++) allowed += (await limiter.consume("k")).allowed ? 1 : 0;
      return allowed;
    };
    const workers = limiters.flatMap((limiter) =>
      Array.from({ length: 20 }, () => consume(limiter)),
    );
    const allowed = await Promise.all(workers);
    done.abort();

    expect(await flushes).toBeGreaterThan(10);
    expect(allowed.reduce((sum, count) => sum + count, 0)).toBe(limit);
    expect((await (limiters[0] as RateLimiter).peek("k")).remaining).toBe(0);
    await Promise.all(through.map(({ close }) => close()));
  });

  test("is not what a call is sent again for when only its key speaks of it", async () => {
    const connection = await clients["upstash without pipelines"]({ url: server.url });
    onTestFinished(connection.close);
    // This client's errors repeat the command, and so the key.
    const limiter = limiterOn(connection.client, tokenBucket({ limit: 10, period: "365d" }), {
      identity: "plain",
    });
    await limiter.consume("other");
    await redis.call("ACL", "SETUSER", "default", "-time");
    onTestFinished(() => void redis.call("ACL", "SETUSER", "default", "+time"));
    const calls = async (): Promise<number> =>
      Number(/cmdstat_eval:calls=(\d+)/.exec(await redis.info("commandstats"))?.[1]);
    const before = await calls();
    await expect(limiter.consume("NOSCRIPT")).rejects.toThrow(/can't run this command|ACL failure/);
    expect(await calls()).toBe(before);
  });
});

describe("a value that Sluice did not write", () => {
  const verbs: readonly (readonly [string, (limiter: RateLimiter) => Promise<unknown>])[] = [
    ["consume", (limiter) => limiter.consume("k")],
    ["consumeUpTo", (limiter) => limiter.consumeUpTo("k", { cost: 2 })],
    ["peek", (limiter) => limiter.peek("k")],
    ["refund", (limiter) => limiter.refund("k", 1)],
    ["penalize", (limiter) => limiter.penalize("k", 1)],
    ["block", (limiter) => limiter.block("k", "1s")],
    ["unblock", (limiter) => limiter.unblock("k")],
    ["reset", (limiter) => limiter.reset("k")],
  ];
  const values: readonly (readonly [string, (key: string) => Promise<unknown>])[] = [
    ["a text", (key) => redis.set(key, "42")],
    ["an empty text", (key) => redis.set(key, "")],
    ["a state of a later format", (key) => redis.set(key, Buffer.alloc(26, 9))],
    ["a state cut short", (key) => redis.set(key, Buffer.from([1, 2, 3]))],
    ["a list", (key) => redis.rpush(key, "a", "b")],
    ["a hash", (key) => redis.hset(key, "a", "1")],
    ["a hash with a field m", (key) => redis.hset(key, "m", "\u0001")],
    ["a hash with an empty field m", (key) => redis.hset(key, "m", "")],
    ["a sorted set", (key) => redis.zadd(key, 1, "a")],
  ];

  describe.each(slowPolicies)("under the key of a %s", (_, policy) => {
    test.each(values)("is refused by every verb and left as it is: %s", async (_what, put) => {
      const limiter = limiterOn(redis, policy);
      const key = await keyOf(limiter, "k");
      await put(key);
      const before = await redis.dump(key);
      for (const [verb, call] of verbs) {
        const error = await call(limiter).catch((thrown: unknown) => thrown);
        expect(error, verb).toBeInstanceOf(StoreUnavailableError);
        expect(String(error), verb).toMatch(/not written by Sluice|does not know/);
      }
      expect(await redis.dump(key)).toEqual(before);
      expect(await redis.pttl(key)).toBe(-1);
      expect(await redis.keys(`n${namespaces}:*`)).toEqual([key]);
    });

    test.each(values)("spoils only its own call of many: %s", async (_what, put) => {
      const errors: unknown[] = [];
      const limiter = limiterOn(redis, policy, {
        onStoreFailure: "closed",
        hooks: { onError: ({ error, key }) => errors.push(key, error) },
      });
      await put(await keyOf(limiter, "k"));
      const requests = ["a", "k", "b", "a", "k"].map((key) => ({ key }));
      const decisions = await limiter.consumeMany(requests);
      expect(decisions.map(({ source }) => source)).toEqual([
        "store",
        "fail-closed",
        "store",
        "store",
        "fail-closed",
      ]);
      expect([0, 2, 3].map((i) => decisions[i]?.remaining)).toEqual([9, 9, 8]);
      const failure = expect.any(StoreUnavailableError) as unknown;
      expect(errors).toEqual(["k", failure, "k", failure]);
    });
  });

  test.each([
    ["l", slidingLog({ name: "second", limit: 10, window: "365d" })],
    ["f", fixedWindow({ name: "second", limit: 10, window: "365d" })],
  ])("keeps a call over several policies from charging the others: %s", async (tag, second) => {
    const first = tokenBucket({ name: "first", limit: 10, period: "1h" });
    const limiter = limiterOn(redis, [first, second]);
    const key = `n${namespaces}:second~${tag}:{${idOf("k")}}`;
    await (tag === "l" ? redis.set(key, "mine") : redis.hset(key, "field", "mine"));
    await expect(limiter.consume("k")).rejects.toThrow(StoreUnavailableError);
    expect(await redis.keys(`n${namespaces}:first*`)).toEqual([]);
  });

  test("keeps a denied call over several policies from an answer", async () => {
    const first = tokenBucket({ name: "first", limit: 1, period: "1h" });
    const second = fixedWindow({ name: "second", limit: 10, window: "365d" });
    const limiter = limiterOn(redis, [first, second], { denyCache: false });
    await limiter.consume("k");
    expect(await limiter.consume("k")).toMatchObject({ allowed: false, policy: "first" });
    const key = `n${namespaces}:second~f:{${idOf("k")}}`;
    await redis.del(key);
    expect(await limiter.consume("k")).toMatchObject({ allowed: false, policy: "first" });
    await redis.hset(key, "field", "mine");
    await expect(limiter.consume("k")).rejects.toThrow(StoreUnavailableError);
  });
});

describe("a refund that the client sent twice", () => {
  test.each(slowPolicies)("gives back once: %s", async (_, policy) => {
    const replies: unknown[] = [];
    const twice: RunScript = async (_sha, source, keys, args) => {
      replies.push(await redis.eval(source, keys.length, ...keys, ...args));
      replies.push(await redis.eval(source, keys.length, ...keys, ...args));
      return replies.at(-1);
    };
    const namespace = "resent";
    const once = limiterOn(redis, policy, { namespace, identity: "plain" });
    const resending = limiterOn(twice, policy, { namespace, identity: "plain" });
    const key = policy.algorithm + JSON.stringify(Object.values(policy)).replaceAll(/\W/g, "");
    await once.consume(key, { cost: 8 });
    expect((await resending.refund(key, 3)).remaining).toBe(5);
    // What came back, and what is left then.
    const said = replies.map((reply) => (reply as number[]).slice(2, 4));
    expect(said).toEqual([
      [3000, 5000],
      [0, 5000],
    ]);
    expect((await once.peek(key)).remaining).toBe(5);
    // Another refund of the same amount is not the same refund.
    expect((await resending.refund(key, 3)).remaining).toBe(8);
  });
});

describe("keys in Redis", () => {
  test("are namespace, policy and the first 16 bytes of the key's SHA-256", async () => {
    const limiter = limiterOn(redis, tokenBucket({ limit: 10, period: "1d" }));
    await limiter.consume("user:42");
    expect(await redis.keys(`n${namespaces}:*`)).toEqual([
      `n${namespaces}:token-bucket:{${idOf("user:42")}}`,
    ]);
    expect(idOf("user:42")).toMatch(/^[\w-]{22}$/);
  });

  test("begin with sluice unless told otherwise", async () => {
    const store = new RedisStore({ client: redis });
    const limiter = new RateLimiter({
      policy: gcra({ limit: 1, period: "1d" }),
      store,
      timeout: "30s",
    });
    await limiter.consume("k");
    expect(await redis.keys("sluice:*")).toEqual([`sluice:gcra:{${idOf("k")}}`]);
  });

  test("carry the algorithm's tag where the policy has a name of its own", async () => {
    const limiter = limiterOn(redis, namedSlowPolicies);
    await limiter.consume("\u{1f6b0} {tag} \0");
    const id = idOf("\u{1f6b0} {tag} \0");
    const tags = ["b", "b", "b", "b", "f", "f", "c", "s", "l"];
    expect((await redis.keys(`n${namespaces}:*`)).sort()).toEqual(
      tags.map((tag, i) => `n${namespaces}:p${i}~${tag}:{${id}}`),
    );
  });

  test.each([
    ["a text", "a secret of some length"],
    ["bytes", new Uint8Array(32).fill(7)],
  ])("carry an HMAC under a secret that is %s", async (_, hmacSecret) => {
    const policy = tokenBucket({ limit: 10, period: "1d" });
    const limiter = limiterOn(redis, policy, { identity: { hmacSecret } });
    await limiter.consume("user:42");
    const hmac = createHmac("sha256", hmacSecret).update("user:42").digest();
    expect(await redis.keys(`n${namespaces}:*`)).toEqual([
      `n${namespaces}:token-bucket:{${hmac.subarray(0, 16).toString("base64url")}}`,
    ]);
  });

  test("carry the key itself where the identity is plain", async () => {
    const policy = tokenBucket({ limit: 10, period: "1d" });
    const limiter = limiterOn(redis, policy, { identity: "plain" });
    await limiter.consume("user:42");
    expect(await redis.keys(`n${namespaces}:*`)).toEqual([`n${namespaces}:token-bucket:{user:42}`]);
  });
});

describe("what the server sees", () => {
  async function everythingSeen(
    options: Partial<Omit<RateLimiterOptions, "store">>,
  ): Promise<string> {
    const monitor = await redis.monitor();
    const seen: string[] = [];
    monitor.on("monitor", (_time: string, args: readonly string[]) => seen.push(args.join(" ")));
    const limiter = limiterOn(redis, tokenBucket({ limit: 10, period: "1d" }), options);
    const key = "alice@example.com";
    await limiter.consume(key);
    await limiter.consumeUpTo(key, { cost: 20 });
    await limiter.consumeMany([{ key }, { key }]);
    await consumeAtomic([{ limiter, key }]);
    await limiter.peek(key);
    await limiter.refund(key, 1);
    await limiter.penalize(key, 1);
    await limiter.block(key, "1s");
    await limiter.unblock(key);
    await limiter.reset(key);
    await redis.echo("the end");
    await expect.poll(() => seen.some((line) => line.includes("the end"))).toBe(true);
    monitor.disconnect();
    return seen.join("\n");
  }

  test("holds no key as the caller gave it, whatever the verb", async () => {
    const seen = await everythingSeen({});
    expect(seen).toContain(idOf("alice@example.com"));
    expect(seen).not.toMatch(/alice|example\.com/);
  });

  test("holds neither key nor secret nor plain hash with an HMAC", async () => {
    const seen = await everythingSeen({ identity: { hmacSecret: "a secret of some length" } });
    expect(seen).toContain(`n${namespaces}:token-bucket:{`);
    expect(seen).not.toMatch(/alice|example\.com|a secret/);
    expect(seen).not.toContain(idOf("alice@example.com"));
  });

  test("holds the key where the identity is plain", async () => {
    expect(await everythingSeen({ identity: "plain" })).toContain("{alice@example.com}");
  });
});

const DAY_US = 86_400e6;

test.each([-400, 400])(
  "a process whose clock is %d days off sends its calendar twice, once, and counts by the server's",
  async (daysOff) => {
    const [seconds] = await redis.time();
    const serverMs = Number(seconds) * 1e3;
    vi.useFakeTimers({ toFake: ["Date"], now: serverMs + (daysOff * DAY_US) / 1e3 });
    onTestFinished(() => void vi.useRealTimers());
    const offMs = (): number => Math.abs(systemClock.nowUs() / 1e3 - serverMs);
    await expect.poll(offMs).toBeGreaterThan(1e9);

    let trips = 0;
    const counted: RunScript = (_sha, source, keys, args) => {
      trips += 1;
      return redis.eval(source, keys.length, ...keys, ...args);
    };
    const limiter = limiterOn(counted, calendarWindow({ limit: 10, unit: "day" }));
    const first = await limiter.consume("k");
    expect(trips).toBe(2);
    const endUs = (Math.floor(first.decidedAtUs / DAY_US) + 1) * DAY_US;
    expect(first.resetAfterMs).toBe(Math.ceil((endUs - first.decidedAtUs) / 1e3));
    expect((await limiter.consume("other")).remaining).toBe(9);
    expect(trips).toBe(3);
  },
);

test("a batch may forget more hits of a log than Lua can pass in one call", async () => {
  const clock = new ManualClock();
  const limiter = new RateLimiter({
    policy: slidingLog({ limit: 10_000, window: "1m" }),
    store: new RedisStore({ client: redis, clock }),
    namespace: "long",
    onStoreFailure: "throw",
    timeout: "30s",
  });
  for (let i = 0; i < 9000; i++) {
    clock.advance(0.001);
    await limiter.consume("k");
  }
  clock.advance(61_000);
  const decisions = await limiter.consumeMany(Array.from({ length: 100 }, () => ({ key: "k" })));
  expect(decisions.at(-1)?.remaining).toBe(9900);
  expect(await redis.hlen(`long:sliding-log:{${idOf("k")}}`)).toBe(2);
});

test("the largest atomic call is one script call, as large as the fullest batch", async () => {
  const sizes: number[] = [];
  const run: RunScript = (sha, source, keys, args) => {
    sizes.push(keys.length);
    return scriptRunner(redis)(sha, source, keys, args);
  };
  const store = new RedisStore({ client: run, maxBatch: 1000, maxInFlight: 1 });
  const options = { store, onStoreFailure: "throw", timeout: "30s" } as const;
  const names = ["a", "b", "c", "d"];
  const policies = names.map((name) => tokenBucket({ name, limit: 9, period: "1d" }));
  const four = new RateLimiter({ ...options, policy: policies, namespace: "four" });
  const one = new RateLimiter({ ...options, policy: fixedWindow({ limit: 9, window: "1d" }) });
  const keys = (count: number): string[] => Array.from({ length: count }, (_, i) => `k${i}`);
  const [mates, atomic] = await Promise.all([
    Promise.all(keys(999).map((key) => four.consume(key))),
    consumeAtomic(keys(1000).map((key) => ({ limiter: one, key }))),
  ]);
  expect(sizes).toEqual([1000, 1000, 1000, 996, 1000]);
  expect(mates.filter(({ remaining }) => remaining === 8)).toHaveLength(999);
  expect(atomic.decisions.filter(({ remaining }) => remaining === 8)).toHaveLength(1000);
});

test("an atomic call that is too large is refused by itself, without a failure of the store", async () => {
  const onError = vi.fn();
  const limiter = limiterOn(redis, tokenBucket({ limit: 9, period: "1d" }), {
    onStoreFailure: "open",
    hooks: { onError },
  });
  const requests = Array.from({ length: 8200 }, (_, i) => ({ limiter, key: `k${i}` }));
  const [mate, atomic] = await Promise.allSettled([limiter.consume("k"), consumeAtomic(requests)]);
  expect(mate).toMatchObject({ value: { source: "store", remaining: 8 } });
  expect(atomic).toMatchObject({
    reason: { code: "INVALID_OPTION", option: "requests", value: 8200 },
  });
  expect(onError).not.toHaveBeenCalled();
});

test("a small log is stored as compactly as Redis can", async () => {
  const limiter = limiterOn(redis, slidingLog({ limit: 100, window: "1d" }));
  for (let i = 0; i < 100; i++) await limiter.consume("k");
  await limiter.block("k", "365d");
  const [key = ""] = await redis.keys(`n${namespaces}:*`);
  expect(await redis.object("ENCODING", key)).toMatch(/listpack|ziplist/);
});

/**
 * What callers get while Redis is away, hangs, or refuses: in time, and labelled. The runner fails a
 * file in which any rejection went unhandled, such as one that came too late.
 */
import { spawnSync } from "node:child_process";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import {
  consumeAtomic,
  type Decision,
  type ErrorEvent,
  RateLimiter,
  type RateLimiterOptions,
  StoreTimeoutError,
  StoreUnavailableError,
  slidingLog,
  tokenBucket,
} from "../../src/index.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { eventually } from "../support/eventually.js";

type Server = Awaited<ReturnType<typeof startRedis>>;

interface Connected {
  readonly client: RedisClientLike;
  /** Ends the connection without asking the server. */
  destroy(): void;
}

/** Clients as they are by default, which is: without any deadline of use. */
const DRIVERS: Readonly<Record<string, (url: string) => Promise<Connected>>> = {
  ioredis: async (url) => {
    const client = new Redis(url);
    client.on("error", () => {});
    return {
      client,
      destroy: () => {
        client.disconnect();
      },
    };
  },
  "node-redis": async (url) => {
    const client = createClient({ url });
    client.on("error", () => {});
    // It resolves once a server is there, which may be never.
    const connected = client.connect().catch(() => {});
    await Promise.race([connected, new Promise((resolve) => client.once("error", resolve))]);
    return {
      client,
      destroy: () => {
        client.destroy();
      },
    };
  },
};

const policy = tokenBucket({ limit: 10, period: "365d" });

function limiterOn(
  client: RedisClientLike,
  options: Partial<Omit<RateLimiterOptions, "store">>,
): RateLimiter {
  return new RateLimiter({
    policy,
    store: new RedisStore({ client }),
    timeout: 30,
    breaker: false,
    denyCache: false,
    onStoreFailure: "open",
    ...options,
  });
}

/** Every verb that answers with decisions. */
const ASKING: Readonly<Record<string, (limiter: RateLimiter) => Promise<Decision>>> = {
  consume: (limiter) => limiter.consume("k", { cost: 2 }),
  consumeUpTo: (limiter) => limiter.consumeUpTo("k", { cost: 2 }),
  consumeMany: async (limiter) => {
    const [first, second] = await limiter.consumeMany([
      { key: "k", cost: 2 },
      { key: "j", cost: 2 },
    ]);
    expect({ ...second, decidedAtUs: 0 }).toEqual({ ...first, decidedAtUs: 0 });
    return first as Decision;
  },
  consumeAtomic: async (limiter) => {
    const request = { limiter, key: "k", cost: 2 };
    const { allowed, decisions } = await consumeAtomic([request, { ...request, key: "j" }]);
    expect(decisions.map((decision) => decision.allowed)).toEqual([allowed, allowed]);
    return decisions[0] as Decision;
  },
  peek: (limiter) => limiter.peek("k", { cost: 2 }),
  refund: (limiter) => limiter.refund("k", 2),
  penalize: (limiter) => limiter.penalize("k", 2),
};

/** Every verb that an operator gives, and must know to have worked. */
const TELLING: Readonly<Record<string, (limiter: RateLimiter) => Promise<void>>> = {
  block: (limiter) => limiter.block("k", "1s"),
  unblock: (limiter) => limiter.unblock("k"),
  reset: (limiter) => limiter.reset("k"),
};

/** Ways for a server to be of no use, each with what undoes it so that it can be ended. */
const OUTAGES: Readonly<
  Record<string, (open: (url: string) => Promise<Connected>) => Promise<[Connected, () => unknown]>>
> = {
  "was never there": async (open) => {
    const server = await startRedis();
    await server.stop();
    return [await open(server.url), () => {}];
  },
  "was killed": async (open) => {
    const server = await startRedis();
    const connected = await open(server.url);
    await limiterOn(connected.client, { onStoreFailure: "throw", timeout: "30s" }).peek("k");
    process.kill(server.pid, "SIGKILL");
    await server.stop();
    return [connected, () => {}];
  },
  "is suspended": async (open) => {
    const server = await startRedis();
    const connected = await open(server.url);
    await limiterOn(connected.client, { onStoreFailure: "throw", timeout: "30s" }).peek("k");
    process.kill(server.pid, "SIGSTOP");
    return [
      connected,
      () => {
        process.kill(server.pid, "SIGCONT");
        return server.stop();
      },
    ];
  },
};

const aStoreFailure = expect.toSatisfy(
  (error) => error instanceof StoreTimeoutError || error instanceof StoreUnavailableError,
) as unknown;

describe.each(Object.keys(DRIVERS))("through %s", (driver) => {
  const open = DRIVERS[driver] as (typeof DRIVERS)[string];

  describe.each(Object.keys(OUTAGES))("a server that %s", (outage) => {
    let connected: Connected;
    let end: () => unknown;
    beforeAll(async () => {
      [connected, end] = await (OUTAGES[outage] as (typeof OUTAGES)[string])(open);
    });
    afterAll(async () => {
      connected.destroy();
      await end();
    });

    const events: ErrorEvent[] = [];
    const hooks = { onError: (event: ErrorEvent) => events.push(event) };

    describe.each(Object.entries(ASKING))("asked to %s", (verb, ask) => {
      test("lets pass when failures are open", async () => {
        const decision = await ask(limiterOn(connected.client, { onStoreFailure: "open" }));
        expect(decision).toEqual({
          allowed: true,
          reason: "store",
          limit: 10,
          remaining: 0,
          retryAfterMs: 0,
          resetAfterMs: 0,
          decidedAtUs: expect.any(Number) as unknown,
          windowMs: 365 * 24 * 3600e3,
          policy: "token-bucket",
          source: "fail-open",
          ...(verb === "refund" && { refunded: 0 }),
          ...(verb === "consumeUpTo" && { granted: 2 }),
        });
      });

      test("decides locally by default", async () => {
        const { source } = await ask(limiterOn(connected.client, { onStoreFailure: undefined }));
        expect(source).toBe("local");
      });

      test("denies when failures are closed", async () => {
        const decision = await ask(limiterOn(connected.client, { onStoreFailure: "closed" }));
        expect(decision).toMatchObject({
          allowed: false,
          reason: "store",
          source: "fail-closed",
          ...(verb === "consumeUpTo" && { granted: 0 }),
        });
        expect(decision.retryAfterMs).toBeGreaterThan(0);
      });

      test("throws when failures are to throw", async () => {
        const limiter = limiterOn(connected.client, { onStoreFailure: "throw" });
        await expect(ask(limiter)).rejects.toEqual(aStoreFailure);
      });

      test("answers by the fallback where there is one", async () => {
        await using fallback = new RateLimiter({ policy });
        const limiter = limiterOn(connected.client, { onStoreFailure: { fallback } });
        const decision = await ask(limiter);
        const remaining = { peek: 10, refund: 10 }[verb] ?? 8;
        expect(decision).toMatchObject({ allowed: true, source: "fallback", remaining });
        expect(fallback.consumeSync("k", { cost: 0 }).remaining).toBe(remaining);
      });

      test("tells onError of the failure and of what was decided in spite of it", async () => {
        events.length = 0;
        const decision = await ask(limiterOn(connected.client, { hooks }));
        expect(events).toEqual([
          { error: aStoreFailure, key: "k", cost: 2, decision: expect.anything() as unknown },
        ]);
        expect(decision).toMatchObject({ ...events[0]?.decision });
      });
    });

    describe.each(Object.entries(TELLING))("asked to %s", (_, tell) => {
      test.each(["open", "closed", "throw", "a fallback"])(
        "throws when failures are %s, since there is no label for it",
        async (choice) => {
          events.length = 0;
          await using fallback = new RateLimiter({ policy });
          const onStoreFailure =
            choice === "a fallback" ? { fallback } : (choice as "open" | "closed" | "throw");
          const limiter = limiterOn(connected.client, { onStoreFailure, hooks });
          await expect(tell(limiter)).rejects.toEqual(aStoreFailure);
          expect(events).toEqual([{ error: aStoreFailure, key: "k", cost: 0 }]);
        },
      );
    });
  });

  /** A process that ends when the server of that port has answered it. */
  const PING = `
    const socket = require("node:net").connect(process.argv[1], "127.0.0.1");
    socket.end("PING\\r\\n").resume();
  `;

  describe("a server that hangs", () => {
    async function connect(): Promise<{ server: Server; client: RedisClientLike }> {
      const server = await startRedis();
      const connected = await open(server.url);
      onTestFinished(async () => {
        process.kill(server.pid, "SIGCONT");
        connected.destroy();
        await server.stop();
      });
      return { server, client: connected.client };
    }

    test("is given up after the limiter's own deadline, 250 ms unless told otherwise", async () => {
      const { server, client } = await connect();
      const store = new RedisStore({ client });
      const limiter = new RateLimiter({ policy, store, onStoreFailure: "throw" });
      await limiterOn(client, { onStoreFailure: "throw", timeout: "30s" }).consume("k");
      process.kill(server.pid, "SIGSTOP");
      const error = await limiter.consume("k").catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(StoreTimeoutError);
      expect(error).toMatchObject({ code: "STORE_TIMEOUT", timeoutMs: 250 });
    });

    test("is not taken for dead because this process was busy when its answer came", async () => {
      const { server, client } = await connect();
      const limiter = limiterOn(client, { timeout: 1000 });
      await limiter.consume("k");
      const pending = limiter.consume("k");
      // The client hands the command to the socket in a later turn.
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
      const endMs = performance.now() + 1500;
      // Whoever asked later got an answer, so ours waits to be read, however slow this machine is.
      spawnSync(process.execPath, ["--eval", PING, String(server.port)], { stdio: "inherit" });
      while (performance.now() < endMs);
      expect((await pending).source).toBe("store");
    });

    test("has its late replies dropped, though what it counted is counted", async () => {
      const { server, client } = await connect();
      const told: unknown[] = [];
      const hooks = {
        onAllowed: (event: unknown) => told.push(event),
        onError: (event: unknown) => told.push(event),
      };
      const limiter = limiterOn(client, { hooks });
      const patient = limiterOn(client, { onStoreFailure: "throw", timeout: "30s" });
      await patient.consume("k");

      process.kill(server.pid, "SIGSTOP");
      const late = await Promise.all([limiter.consume("k"), limiter.consume("k", { cost: 3 })]);
      expect(late.map(({ source }) => source)).toEqual(["fail-open", "fail-open"]);
      // Two decisions, and one outage.
      expect(told).toHaveLength(3);

      process.kill(server.pid, "SIGCONT");
      // Replies come in order: after this one, the late ones have come too.
      expect((await patient.peek("k")).remaining).toBe(5);
      expect(told).toHaveLength(3);
    });

    test("is asked again as soon as it answers", async () => {
      const { server, client } = await connect();
      const limiter = limiterOn(client, { onStoreFailure: "closed" });
      const source = async (): Promise<string> => (await limiter.peek("k")).source;
      process.kill(server.pid, "SIGSTOP");
      expect(await source()).toBe("fail-closed");
      process.kill(server.pid, "SIGCONT");
      await expect.poll(source).toBe("store");
    });
  });

  describe("an AbortSignal", () => {
    let server: Server;
    let connected: Connected;
    beforeAll(async () => {
      server = await startRedis();
      connected = await open(server.url);
    });
    afterAll(async () => {
      connected.destroy();
      await server.stop();
    });

    const reason = new Error("the user went away");
    const calls: readonly (readonly [
      string,
      (limiter: RateLimiter, signal: AbortSignal) => Promise<unknown>,
    ])[] = [
      ["consume", (limiter, signal) => limiter.consume("k", { signal })],
      ["consumeUpTo", (limiter, signal) => limiter.consumeUpTo("k", { cost: 1, signal })],
      ["consumeMany", (limiter, signal) => limiter.consumeMany([{ key: "k" }], { signal })],
      ["consumeAtomic", (limiter, signal) => consumeAtomic([{ limiter, key: "k" }], { signal })],
      ["peek", (limiter, signal) => limiter.peek("k", { signal })],
    ];

    test.each(calls)("that has fired keeps %s from being sent", async (verb, call) => {
      const namespace = `before.${verb}`;
      const events: unknown[] = [];
      const hooks = { onError: (event: unknown) => events.push(event) };
      const limiter = limiterOn(connected.client, { namespace, hooks, timeout: "30s" });
      await expect(call(limiter, AbortSignal.abort(reason))).rejects.toBe(reason);
      expect((await limiter.peek("k")).remaining).toBe(10);
      expect(events).toEqual([]);
    });

    test.each(calls)("ends the wait for %s, which may yet be counted", async (verb, call) => {
      const namespace = `during.${verb}`;
      const events: unknown[] = [];
      const hooks = { onError: (event: unknown) => events.push(event) };
      const limiter = limiterOn(connected.client, { namespace, hooks, timeout: "30s" });
      // The server knows the script of each: one that had to be sent again would be overtaken by the next call.
      await limiter.peek("k");
      await limiter.consume("another");
      process.kill(server.pid, "SIGSTOP");
      try {
        const controller = new AbortController();
        const pending = call(limiter, controller.signal);
        // The client hands the command to the socket in a later turn.
        await new Promise((resolve) => setImmediate(resolve));
        controller.abort(reason);
        await expect(pending).rejects.toBe(reason);
      } finally {
        process.kill(server.pid, "SIGCONT");
      }
      const { remaining } = await limiter.peek("k");
      expect(remaining).toBe(verb === "peek" ? 10 : 9);
      // The caller ended it, not the store.
      expect(events).toEqual([]);
    });
  });
});

describe("a store that connected itself", () => {
  test("fails at once while the connection is away, and then connects again", async () => {
    const server = await startRedis();
    onTestFinished(server.stop);
    // It gives up after five seconds, which a busy machine may take.
    const store = await eventually(() => RedisStore.connect(server.url));
    onTestFinished(() => store.close());
    const limiter = new RateLimiter({ policy, store, onStoreFailure: "closed", timeout: "30s" });
    expect((await limiter.consume("k")).remaining).toBe(9);

    const operator = new Redis(server.url);
    onTestFinished(() => {
      operator.disconnect();
    });
    await operator.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    await expect.poll(async () => (await limiter.peek("k")).source).toBe("store");
    expect((await limiter.consume("k")).remaining).toBe(8);
  });
});

describe("a server without memory to spare", () => {
  test("fails calls that write, half of none is written, and asking goes on", async () => {
    const server = await startRedis();
    onTestFinished(server.stop);
    const redis = new Redis(server.url);
    onTestFinished(() => {
      redis.disconnect();
    });
    const limiter = limiterOn(redis, {
      policy: [
        tokenBucket({ name: "a", limit: 10, period: "365d" }),
        slidingLog({ name: "b", limit: 10, window: "365d" }),
      ],
      onStoreFailure: "throw",
      timeout: "30s",
    });
    await limiter.consume("k");
    await redis.config("SET", "maxmemory", "1");
    await expect(limiter.consume("k")).rejects.toThrow(StoreUnavailableError);
    await expect(limiter.consume("k")).rejects.toThrow(/OOM/);
    await redis.config("SET", "maxmemory", "0");
    const { policies = [] } = await limiter.peek("k");
    expect(policies.map(({ remaining }) => remaining)).toEqual([9, 9]);
  });
});

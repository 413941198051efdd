/**
 * Real servers killed, started again, suspended and continued under load: every call is answered, the
 * store is asked at least once an interval and not much more, and one outage is told of once.
 */
import { Redis } from "ioredis";
import { createClient } from "redis";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  type ErrorEvent,
  fixedWindow,
  RateLimiter,
  type RateLimiterOptions,
  type RecoveryEvent,
  StoreUnavailableError,
  tokenBucket,
} from "../../src/index.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { driverNames, drivers } from "../faults/support/drivers.js";
import { startCluster } from "../support/cluster.js";
import { startVictim, type Victim } from "../support/servers.js";

const policy = tokenBucket({ limit: 1e6, period: "1h" });
const PROBE_EVERY_MS = 100;
/** Longer than this machine stalls: the servers here fail at once, or not before they are told to go on. */
const TIMEOUT = "5s";
/** Some calls wait in line, or others are decided meanwhile. */
const SOME: number = expect.any(Number) as never;
const NOBODY = { busy: SOME, local: 0, failOpen: 0, failClosed: 0, fallback: 0, thrown: 0 };

interface Connected {
  readonly client: RedisClientLike;
  readonly isReady: () => boolean;
  readonly destroy: () => void;
}

/** With the options that docs/redis.md recommends. */
const DRIVERS: Readonly<Record<string, (url: string) => Promise<Connected>>> = {
  ioredis: async (url) => {
    const client = new Redis(url, {
      autoResendUnfulfilledCommands: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      lazyConnect: true,
    });
    client.on("error", () => {});
    await client.connect();
    const isReady = (): boolean => client.status === "ready";
    const destroy = (): void => {
      client.disconnect();
    };
    return { client, isReady, destroy };
  },
  "node-redis": async (url) => {
    const client = createClient({ url, disableOfflineQueue: true });
    client.on("error", () => {});
    await client.connect();
    const destroy = (): void => {
      client.destroy();
    };
    return { client, isReady: () => client.isReady, destroy };
  },
};

interface Asked {
  readonly beganMs: number;
  /** Whether the client was connected then. */
  readonly wasReady: boolean;
  /** When it was handed to the store; undefined if it never was. */
  sentMs: number | undefined;
  source: string;
  endedMs: number;
}

/** Calls without end, a few at a time, and what became of each. */
class Traffic {
  readonly calls: Asked[] = [];
  readonly onError = vi.fn<(event: ErrorEvent) => void>();
  readonly onRecovery = vi.fn<(event: RecoveryEvent) => void>();
  readonly limiter: RateLimiter;
  readonly #isReady: () => boolean;
  #current: Asked | undefined;
  #isOver = false;

  constructor({ client, isReady }: Connected, options: Partial<RateLimiterOptions>) {
    const store = new RedisStore({ client });
    const submit = store.submit.bind(store);
    store.submit = (call, done) => {
      if (this.#current !== undefined) this.#current.sentMs = performance.now();
      submit(call, done);
    };
    const { onError, onRecovery } = this;
    this.#isReady = isReady;
    this.limiter = new RateLimiter({
      policy,
      breaker: { probeEvery: PROBE_EVERY_MS },
      hooks: { onError, onRecovery },
      ...options,
      store,
    });
  }

  run(callers: number): Promise<unknown> {
    return Promise.all(Array.from({ length: callers }, () => this.#call()));
  }

  stop(): void {
    this.#isOver = true;
  }

  count(source: string): number {
    return this.calls.filter((call) => call.source === source).length;
  }

  /** Resolves when everything that `onError` was told of is over. */
  async recovered(): Promise<void> {
    const { onError, onRecovery } = this;
    await expect.poll(() => onRecovery.mock.calls.length).toBe(onError.mock.calls.length);
  }

  sent(): number {
    return this.calls.filter(({ sentMs }) => sentMs !== undefined).length;
  }

  /**
   * Calls refused for longer than the interval since the breaker opened or the last probe began, with no
   * probe under way.
   */
  refusedTooLong(): number {
    const opened = this.calls.find((call) => call.source !== "store" && call.sentMs === undefined);
    let last: Asked | undefined;
    return this.calls.filter((call) => {
      if (call.sentMs !== undefined) last = call;
      if (last?.sentMs === undefined || last === call || opened === undefined) return false;
      const dueMs = Math.max(opened.beganMs, last.sentMs) + PROBE_EVERY_MS;
      return call.beganMs >= dueMs && last.endedMs <= call.beganMs;
    }).length;
  }

  async #call(): Promise<void> {
    while (!this.#isOver) {
      const call: Asked = {
        beganMs: performance.now(),
        wasReady: this.#isReady(),
        sentMs: undefined,
        source: "",
        endedMs: Number.POSITIVE_INFINITY,
      };
      this.calls.push(call);
      this.#current = call;
      const answer = this.limiter.consume(`k${this.calls.length % 50}`);
      this.#current = undefined;
      call.source = (await answer).source;
      call.endedMs = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
}

type Command = readonly [string, ...string[]];

/** Who would write is refused; denials, which write nothing, are answered. */
const REFUSALS: Readonly<Record<string, { readonly begin: Command; readonly end: Command }>> = {
  OOM: {
    begin: ["CONFIG", "SET", "maxmemory", "1"],
    end: ["CONFIG", "SET", "maxmemory", "0"],
  },
  // Of a master that is not there, so that the data stays.
  READONLY: { begin: ["REPLICAOF", "127.0.0.1", "1"], end: ["REPLICAOF", "NO", "ONE"] },
};

describe.each(Object.keys(DRIVERS))("through %s", (driver) => {
  const start = async (): Promise<{ server: Victim; connected: Connected }> => {
    const server = await startVictim();
    onTestFinished(async () => {
      server.resume();
      await server.stop();
    });
    const connected = await (DRIVERS[driver] as (typeof DRIVERS)[string])(server.url);
    onTestFinished(connected.destroy);
    return { server, connected };
  };

  test("a server that is killed and comes back is asked again by the next probe", async () => {
    const { server, connected } = await start();
    const fallback = new RateLimiter({ policy });
    const traffic = new Traffic(connected, { timeout: "20s", onStoreFailure: { fallback } });
    const { calls } = traffic;
    const running = traffic.run(40);
    await expect.poll(() => traffic.count("store")).toBeGreaterThan(1000);

    await server.kill();
    const sentBefore = traffic.sent();
    await expect.poll(() => traffic.count("fallback")).toBeGreaterThan(5000);
    const sentMeanwhile = traffic.sent() - sentBefore;
    const againMs = performance.now();
    await server.restart();
    const storedBefore = traffic.count("store");
    await expect.poll(() => traffic.count("store")).toBeGreaterThan(storedBefore + 1000);
    await traffic.recovered();
    traffic.stop();
    await running;

    // Each call is answered, once, by one of the two.
    const unstored = traffic.count("fallback");
    expect(traffic.count("store") + unstored).toBe(calls.length);
    expect(traffic.onError).toHaveBeenCalledOnce();
    expect(traffic.onRecovery).toHaveBeenCalledExactlyOnceWith({
      error: traffic.onError.mock.calls[0]?.[0].error,
      outageMs: expect.any(Number) as unknown,
      unanswered: { ...NOBODY, total: unstored, fallback: unstored },
    });
    // The dead server was asked by probes alone, the live one by the first probe of its client.
    expect(sentMeanwhile).toBeLessThan(unstored / 10);
    expect(traffic.refusedTooLong()).toBe(0);
    const probes = calls.filter(
      (call) => call.sentMs !== undefined && call.wasReady && call.beganMs > againMs,
    );
    expect(probes.filter(({ source }) => source !== "store")).toEqual([]);
  });

  test("a server that hangs is given up after few deadlines, and asked again", async () => {
    const { server, connected } = await start();
    const traffic = new Traffic(connected, { timeout: TIMEOUT, onStoreFailure: "closed" });
    const running = traffic.run(10);
    await expect.poll(() => traffic.count("store")).toBeGreaterThan(100);
    server.suspend();
    await expect.poll(() => traffic.count("fail-closed")).toBeGreaterThan(1000);
    server.resume();
    const storedBefore = traffic.count("store");
    await expect.poll(() => traffic.count("store")).toBeGreaterThan(storedBefore + 100);
    await traffic.recovered();
    traffic.stop();
    await running;
    const unstored = traffic.count("fail-closed");
    expect(traffic.onError).toHaveBeenCalledOnce();
    expect(traffic.onRecovery.mock.calls.map(([{ unanswered }]) => unanswered)).toEqual([
      { ...NOBODY, total: unstored, failClosed: unstored },
    ]);
    // Of a thousand calls only those under way when it hung, and the probes, waited for their deadline.
    const waited = traffic.calls.filter(
      (call) => call.source !== "store" && call.sentMs !== undefined,
    );
    expect(waited.length).toBeLessThan(100);
    expect(traffic.refusedTooLong()).toBe(0);
  });

  test.each(Object.entries(REFUSALS))(
    "%s: one outage, although the server answers the denials, nine of ten calls",
    async (error, { begin, end }) => {
      const { server, connected } = await start();
      const spent = fixedWindow({ limit: 1, window: "1d", align: "first" });
      const traffic = new Traffic(connected, {
        policy: (key) => (key.endsWith("0") ? policy : spent),
        denyCache: false,
        timeout: TIMEOUT,
        onStoreFailure: "closed",
        // A stall of this machine is no time in which the server did not fail.
        breaker: { probeEvery: "2s" },
      });
      const running = traffic.run(4);
      await expect.poll(() => traffic.count("store")).toBeGreaterThan(100);
      const storedBefore = traffic.count("store");
      await server.command(...begin);
      await expect.poll(() => traffic.count("fail-closed")).toBeGreaterThan(200);
      const stored = traffic.count("store") - storedBefore;
      const notices = [traffic.onError, traffic.onRecovery].map((hook) => hook.mock.calls.length);
      await server.command(...end);
      await expect.poll(() => traffic.onRecovery.mock.calls.length).toBe(1);
      traffic.stop();
      await running;

      const unstored = traffic.count("fail-closed");
      expect(notices).toEqual([1, 0]);
      expect(stored).toBeGreaterThan(5 * 200);
      expect(traffic.onError).toHaveBeenCalledOnce();
      const [{ error: first }] = traffic.onError.mock.calls[0] as [ErrorEvent];
      expect(first).toBeInstanceOf(StoreUnavailableError);
      expect(String(first)).toContain(error);
      expect(traffic.onRecovery).toHaveBeenCalledExactlyOnceWith({
        error: first,
        outageMs: expect.any(Number) as unknown,
        unanswered: { ...NOBODY, total: unstored, failClosed: unstored },
      });
    },
  );

  test("a value of another type under one key does not keep others from the store", async () => {
    const { server, connected } = await start();
    const onError = vi.fn<(event: ErrorEvent) => void>();
    const limiter = new RateLimiter({
      policy,
      store: new RedisStore({ client: connected.client }),
      identity: "plain",
      timeout: "20s",
      onStoreFailure: "open",
      hooks: { onError },
    });
    await server.command("LPUSH", "sluice:token-bucket:{poisoned}", "not ours");
    for (let i = 0; i < 20; i++) {
      expect((await limiter.consume("poisoned")).source).toBe("fail-open");
    }
    expect((await limiter.consume("other")).source).toBe("store");
    expect(onError).toHaveBeenCalledTimes(20);
    expect(onError.mock.calls[0]?.[0].error).toMatchObject({ ofKey: true });
  });
});

describe("on a Cluster of which one node hangs", () => {
  test.each(driverNames)("through %s, the others are asked as ever", async (name) => {
    const cluster = await startCluster();
    const victim = cluster.masterOf(0);
    onTestFinished(async () => {
      victim.resume();
      await cluster.stop();
    });
    const onError = vi.fn<(event: ErrorEvent) => void>();
    const onRecovery = vi.fn<(event: RecoveryEvent) => void>();
    const limiter = new RateLimiter({
      policy,
      store: await drivers[name].cluster(cluster.ports),
      timeout: TIMEOUT,
      breaker: { probeEvery: PROBE_EVERY_MS },
      onStoreFailure: "open",
      hooks: { onError, onRecovery },
    });
    const keys = Array.from({ length: 60 }, (_, i) => ({ key: `key:${i}` }));
    const sources = async (): Promise<readonly string[]> =>
      (await limiter.consumeMany(keys)).map(({ source }) => source);
    const recovered = async (): Promise<void> => {
      await expect.poll(async () => new Set(await sources())).toEqual(new Set(["store"]));
      const underWay = async (): Promise<number> => {
        await sources();
        return onError.mock.calls.length - onRecovery.mock.calls.length;
      };
      await expect.poll(underWay).toBe(0);
    };
    await recovered();
    onError.mockClear();
    onRecovery.mockClear();

    victim.suspend();
    const hung = await sources();
    const there = keys.filter((_, i) => hung[i] === "store");
    const away = keys.filter((_, i) => hung[i] === "fail-open");
    expect([there.length > 10, away.length > 5, there.length + away.length]).toEqual([
      true,
      true,
      keys.length,
    ]);
    // The open breaker holds up nobody: not the hung node's keys, nor the others'.
    const again = await sources();
    expect(again.filter((source) => source === "store")).toHaveLength(there.length);
    expect((await limiter.consume(there[0]?.key ?? "")).source).toBe("store");
    victim.resume();
    await recovered();

    const part = `127.0.0.1:${victim.port}`;
    expect(onError.mock.calls.map(([event]) => event.part)).toEqual([part]);
    expect(onRecovery.mock.calls.map(([event]) => event.part)).toEqual([part]);
  });
});

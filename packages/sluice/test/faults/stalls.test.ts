/**
 * A process that is busy, stopped or asks for too much, on a Redis that is well: nothing opens. And a Redis that really
 * fails: the breaker opens soon, and closes soon after the end.
 */
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { RateLimiter, tokenBucket } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { slotOf } from "../../src/stores/redis/slot.js";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { startCluster } from "../support/cluster.js";
import { eventually } from "../support/eventually.js";
import { startNode } from "../support/processes.js";
import { startVictim, type Victim } from "../support/servers.js";
import { driverNames, drivers } from "./support/drivers.js";
import { type Proxy, startProxy } from "./support/proxy.js";

const WORKER = fileURLToPath(new URL("./support/stall-worker.mjs", import.meta.url));
const WORKER_TIMEOUT_MS = 1000;

let built: BuiltPackage;
beforeAll(async () => {
  built = await buildPackage(["ioredis", "redis"]);
});
afterAll(() => {
  built.remove();
});

interface Report {
  readonly admitted: number;
  readonly answers: Readonly<Record<string, number>>;
  readonly errors: readonly { readonly text: string; readonly busy: boolean }[];
  /** The longest wait, without the delay of the event loop. */
  readonly latestMs: number;
  readonly ofMany: number;
  readonly sourcesOfMany: readonly string[];
}

test.each(driverNames)("a busy process opens nothing, through %s", async (driver) => {
  const { child, ended } = startNode([
    WORKER,
    `${built.directory}/dist`,
    inject("redisUrl"),
    driver,
  ]);
  child.stdout?.on("data", (text: string) => {
    if (!text.includes("stop me")) return;
    child.kill("SIGSTOP");
    setTimeout(() => child.kill("SIGCONT"), 300 + Math.random() * 300);
  });
  const { code, stdout, stderr } = await ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const report = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Report;
  expect(report.admitted).toBe(20);
  expect(report.errors.filter(({ busy }) => !busy)).toEqual([]);
  expect(report.latestMs).toBeLessThan(2 * WORKER_TIMEOUT_MS);
  expect(report.sourcesOfMany).toEqual(["store"]);
  expect(report.ofMany).toBe(20);
});

interface Fault {
  readonly begin: (victim: Victim, proxy: Proxy) => unknown;
  readonly end: (victim: Victim, proxy: Proxy) => unknown;
}

const faults: Readonly<Record<string, Fault>> = {
  "is killed": { begin: (victim) => victim.kill(), end: (victim) => victim.restart() },
  "is behind a black hole": {
    begin: (_, proxy) => {
      proxy.delay(3_600_000);
    },
    end: (_, proxy) => {
      proxy.heal();
      proxy.endAll();
    },
  },
};

const FAULT_TIMEOUT_MS = 1000;
const PROBE_EVERY_MS = 200;

/** A limiter, and whether its breaker refuses the next call. */
function limiterOn(store: ConstructorParameters<typeof RateLimiter>[0]["store"]) {
  const limiter = new RateLimiter({
    policy: tokenBucket({ limit: 1e6, period: "1h" }),
    store: store as never,
    identity: "plain",
    timeout: FAULT_TIMEOUT_MS,
    onStoreFailure: "throw",
    breaker: { probeEvery: PROBE_EVERY_MS },
  });
  onTestFinished(() => limiter.close());
  const ask = (key: string): Promise<string> =>
    limiter.consume(key).then(
      ({ source }) => source,
      (error: unknown) => (String(error).includes("breaker") ? "refused" : "failed"),
    );
  /** Five callers in a row each: until one is `wanted`. */
  const until = async (wanted: string, key = "k"): Promise<void> => {
    await eventually(async () => {
      const answers = await Promise.all(Array.from({ length: 5 }, () => ask(key)));
      expect(answers).toContain(wanted);
    }, 5);
  };
  return { until, ask };
}

describe.each(driverNames)("through %s", (name) => {
  test.each(Object.entries(faults))(
    "the breaker opens and closes when the server %s",
    async (_, fault) => {
      const victim = await startVictim();
      onTestFinished(() => victim.stop());
      const proxy = await startProxy(victim.port);
      onTestFinished(() => proxy.stop());
      const { until } = limiterOn(await drivers[name].server(proxy.port));
      await until("store");
      await fault.begin(victim, proxy);
      await until("refused");
      await fault.end(victim, proxy);
      await until("store");
    },
  );
});

/** A command that blocks on the connection that the limiter uses: all that comes after it waits. */
const blocking = {
  ioredis: async (port: number) => {
    const client = new Redis({ port, lazyConnect: true });
    onTestFinished(() => {
      client.disconnect();
    });
    await client.connect();
    return { client, block: () => client.blpop("blocked", 0) };
  },
  "node-redis": async (port: number) => {
    const client = createClient({ socket: { host: "127.0.0.1", port } });
    onTestFinished(() => {
      client.destroy();
    });
    await client.connect();
    return { client, block: () => client.blPop("blocked", 0) };
  },
} as const;

test.each(driverNames)("BLPOP on the limiter's own connection, through %s", async (name) => {
  const victim = await startVictim();
  onTestFinished(() => victim.stop());
  const { client, block } = await blocking[name](victim.port);
  const { until } = limiterOn(new RedisStore({ client }));
  await until("store");
  const popped = block();
  await until("refused");
  await victim.command("RPUSH", "blocked", "x");
  await popped;
  await until("store");
});

test.each(driverNames)(
  "one node of a Cluster hangs: the others go on, through %s",
  async (name) => {
    const cluster = await startCluster();
    onTestFinished(() => cluster.stop());
    const victim = cluster.masterOf(slotOf("a"));
    const other =
      ["b", "c", "d", "e"].find((key) => cluster.masterOf(slotOf(key)) !== victim) ?? "";
    const { until, ask } = limiterOn(await drivers[name].cluster(cluster.ports));
    await until("store", "a");
    await until("store", other);
    victim.suspend();
    await until("refused", "a");
    expect(await ask(other)).toBe("store");
    victim.resume();
    await until("store", "a");
  },
);

/**
 * A process that is busy, stopped or asks for too much, on a Redis that is well: nothing opens. And a Redis that really
 * fails: the breaker opens soon, and closes soon after the end.
 */
import { once } from "node:events";
import { connect as connectTo } from "node:net";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { slotOf } from "../../src/stores/redis/slot.js";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { startCluster } from "../support/cluster.js";
import { startNode } from "../support/processes.js";
import { watchServer } from "../support/server-watch.js";
import { startVictim } from "../support/servers.js";
import { watchBreaker } from "./support/breaker-watch.js";
import { driverNames, drivers } from "./support/drivers.js";
import { startProxy } from "./support/proxy.js";
import { say } from "./support/through-fault.js";

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
  readonly admittedAsUsual: number;
  readonly answers: Readonly<Record<string, number>>;
  readonly errors: readonly { readonly text: string; readonly busy: boolean }[];
  readonly outages: readonly { readonly total: number; readonly busy: number }[];
  /** The longest wait, without the delay of the event loop. */
  readonly latestMs: number;
  readonly ofMany: number;
  readonly sourcesOfMany: readonly string[];
}

/** What a busy process tells of a Redis that is well, and how late that Redis was all the same. */
async function stall(driver: string): Promise<[Report, serverLateMs: number]> {
  const server = await startVictim();
  onTestFinished(() => server.stop());
  const watch = await watchServer(server.url);
  const { child, ended } = startNode([WORKER, `${built.directory}/dist`, server.url, driver]);
  child.stdout?.on("data", (text: string) => {
    if (!text.includes("stop me")) return;
    child.kill("SIGSTOP");
    setTimeout(() => child.kill("SIGCONT"), 300 + Math.random() * 300);
  });
  const { code, stdout, stderr } = await ended;
  const serverLateMs = await watch.end();
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return [JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Report, serverLateMs];
}

/** All that must be so while Redis is well. */
function expectNothingOpened(report: Report): void {
  expect(report.admitted).toBe(20);
  expect(report.admittedAsUsual).toBe(0);
  expect(report.errors.filter(({ busy }) => !busy)).toEqual([]);
  // No breaker opened: what it had refused would not be busy.
  expect(report.outages.filter(({ total, busy }) => total > busy)).toEqual([]);
  expect(report.latestMs).toBeLessThan(2 * WORKER_TIMEOUT_MS);
  expect(report.sourcesOfMany).toEqual(["store"]);
  expect(report.ofMany).toBe(20);
}

/** A Redis that this machine did not run for so long was not well. Each deadline had other delays too. */
const SERVER_LATE_MS = WORKER_TIMEOUT_MS / 4;
/** So often the process has another try on a Redis that was late. */
const TRIES = 10;

test.each(driverNames)("a busy process opens nothing, through %s", async (driver) => {
  for (let tries = 1; ; tries++) {
    const [report, serverLateMs] = await stall(driver);
    try {
      expectNothingOpened(report);
      return;
    } catch (error) {
      if (serverLateMs < SERVER_LATE_MS || tries === TRIES) throw error;
      say(`a busy process, ${driver}: Redis was late by ${serverLateMs.toFixed()} ms; once more`);
    }
  }
});

interface Client {
  readonly client: RedisClientLike;
  /** It goes on connecting until there is a server. */
  readonly connect: () => void;
  /** A command that blocks: all that comes after it on this connection waits. */
  readonly block: () => Promise<unknown>;
}

const clients = {
  ioredis: (port: number): Client => {
    const client = new Redis({
      port,
      lazyConnect: true,
      autoResendUnfulfilledCommands: false,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
    });
    client.on("error", () => {});
    onTestFinished(() => {
      client.disconnect();
    });
    const connect = (): void => void client.connect().catch(() => {});
    return { client, connect, block: () => client.blpop("blocked", 0) };
  },
  "node-redis": (port: number): Client => {
    const client = createClient({
      socket: { host: "127.0.0.1", port },
      disableOfflineQueue: true,
    });
    client.on("error", () => {});
    onTestFinished(() => {
      client.destroy();
    });
    const connect = (): void => void client.connect().catch(() => {});
    return { client, connect, block: () => client.blPop("blocked", 0) };
  },
} as const;

describe.each(driverNames)(
  "the breaker opens and closes within the stated times, through %s,",
  (name) => {
    test("where the server is killed, and comes back", async () => {
      const victim = await startVictim();
      onTestFinished(() => victim.stop());
      const { client, connect } = clients[name](victim.port);
      connect();
      const { answered, opens, closes } = watchBreaker(new RedisStore({ client }));
      await answered();
      await victim.kill();
      await opens();
      await closes(() => victim.restart());
    });

    test("where there is no server yet", async () => {
      const victim = await startVictim();
      onTestFinished(() => victim.stop());
      await victim.kill();
      const { client, connect } = clients[name](victim.port);
      connect();
      const { opens, closes } = watchBreaker(new RedisStore({ client }));
      const [error] = (await once(connectTo(victim.port, "127.0.0.1"), "error")) as [Error];
      expect(error).toMatchObject({ code: "ECONNREFUSED" });
      await opens();
      await closes(() => victim.restart());
    });

    test("where the network swallows all", async () => {
      const victim = await startVictim();
      onTestFinished(() => victim.stop());
      const proxy = await startProxy(victim.port);
      onTestFinished(() => proxy.stop());
      const { answered, opens, closes } = watchBreaker(await drivers[name].server(proxy.port));
      await answered();
      proxy.delay(3_600_000);
      await opens();
      await closes(() => {
        proxy.heal();
        proxy.endAll();
      });
    });

    test("where BLPOP blocks the limiter's own connection", async () => {
      const victim = await startVictim();
      onTestFinished(() => victim.stop());
      const { client, connect, block } = clients[name](victim.port);
      connect();
      const { answered, opens, closes } = watchBreaker(new RedisStore({ client }));
      await answered();
      const popped = block();
      await opens();
      await closes(async () => {
        await victim.command("RPUSH", "blocked", "x");
        await popped;
      });
    });

    test("where one node of a Cluster hangs, and the others are asked meanwhile", async () => {
      const cluster = await startCluster();
      onTestFinished(() => cluster.stop());
      const victim = cluster.masterOf(slotOf("a"));
      const other =
        ["b", "c", "d", "e"].find((key) => cluster.masterOf(slotOf(key)) !== victim) ?? "";
      const store = await drivers[name].cluster(cluster.ports);
      const { answered, opens, closes } = watchBreaker(store);
      await answered("a");
      await answered(other);
      victim.suspend();
      await opens("a");
      await answered(other);
      await closes(() => {
        victim.resume();
      }, "a");
    });
  },
);

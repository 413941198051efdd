/** A server that answers every call with an error, and is well again later, under load. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { describe, expect, onTestFinished, test } from "vitest";
import type { RedisOptions } from "../../../../scripts/redis-server.mjs";
import { RateLimiter, type Store, tokenBucket } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { startVictim, type Victim } from "../support/servers.js";
import { driverNames, drivers } from "./support/drivers.js";
import { PATIENT_MS } from "./support/load.js";
import { throughFault } from "./support/through-fault.js";

async function start(options: RedisOptions = {}): Promise<Victim> {
  const server = await startVictim(options);
  onTestFinished(() => server.stop());
  return server;
}

/** Waits until the server answers whoever would write like this. */
async function refuses(server: Victim, refusal: RegExp): Promise<void> {
  const answer = (): Promise<string> => server.command("SET", "canary", "1").then(String, String);
  await expect.poll(answer).toMatch(refusal);
}

/** Through ioredis that sends what it is given however far the server is. */
async function hastyIoredis(port: number): Promise<Store> {
  const client = new Redis(port, "127.0.0.1", { lazyConnect: true, enableReadyCheck: false });
  client.on("error", () => {});
  onTestFinished(() => {
    client.disconnect();
  });
  await client.connect();
  return new RedisStore({ client });
}

/** Waits until callers are thrown this very error, where the limiter throws. */
async function throws(store: Store, refusal: RegExp): Promise<void> {
  await using limiter = new RateLimiter({
    store,
    policy: tokenBucket({ limit: 1e6, period: "1h" }),
    namespace: "throws",
    timeout: "5s",
    breaker: false,
    onStoreFailure: "throw",
  });
  const said = (): Promise<string> => limiter.consume("k").then(String, String);
  await expect.poll(said).toMatch(refusal);
}

describe.each(driverNames)("through %s", (name) => {
  test("READONLY, from a master made a replica", async () => {
    const [server, other] = await Promise.all([start(), start()]);
    const store = await drivers[name].server(server.port);
    const costs = { store, timeoutMs: PATIENT_MS, freshStarts: 1 };
    const { notices } = await throughFault(`READONLY, ${name}`, costs, async (load) => {
      await server.command("REPLICAOF", "127.0.0.1", String(other.port));
      await refuses(server, /READONLY/);
      await throws(store, /READONLY/);
      await load.answered("fail-closed", 50);
      await server.command("REPLICAOF", "NO", "ONE");
      return load.recovered();
    });
    expect(String(notices.errors[0]?.error)).toContain("READONLY");
  });

  test("OOM, without eviction", async () => {
    const server = await start({ args: ["--maxmemory-policy", "noeviction"] });
    const store = await drivers[name].server(server.port);
    const costs = { store, timeoutMs: PATIENT_MS, nothingUnseen: true };
    const { notices } = await throughFault(`OOM, ${name}`, costs, async (load) => {
      await server.command("CONFIG", "SET", "maxmemory", "1");
      await refuses(server, /OOM/);
      await throws(store, /OOM/);
      await load.answered("fail-closed", 50);
      await server.command("CONFIG", "SET", "maxmemory", "0");
      return load.recovered();
    });
    expect(String(notices.errors[0]?.error)).toContain("OOM");
  });

  test("BUSY, by a script that never ends", async () => {
    const server = await start({ args: ["--lua-time-limit", "20"] });
    const store = await drivers[name].server(server.port);
    const costs = { store, timeoutMs: PATIENT_MS };
    const { notices } = await throughFault(`BUSY, ${name}`, costs, async (load) => {
      const runaway = server.command("EVAL", "while true do end", "0");
      const killed = runaway.catch(String);
      await refuses(server, /BUSY/);
      await throws(store, /BUSY/);
      await load.answered("fail-closed", 50);
      await server.command("SCRIPT", "KILL");
      expect(await killed).toMatch(/killed by user/);
      return load.recovered();
    });
    expect(String(notices.errors[0]?.error)).toContain("BUSY");
  });

  test("LOADING, after a kill, with data to load", async () => {
    const directory = mkdtempSync(join(tmpdir(), "sluice-loading-"));
    onTestFinished(() => {
      rmSync(directory, { recursive: true });
    });
    const server = await start({ args: ["--dir", directory] });
    const store = await drivers[name].server(server.port);
    await throughFault(`LOADING, ${name}`, { store, freshStarts: 1 }, async (load) => {
      const fill = "for i = 1, 20000 do redis.call('SET', 'filler:' .. i, i) end";
      await server.command("EVAL", fill, "0");
      await server.command("SAVE");
      await server.kill();
      // Some 100 µs a key, seconds in all, and looking up from it after every few keys, as with gigabytes.
      const slowly = ["--key-load-delay", "100", "--loading-process-events-interval-bytes", "1024"];
      await server.restart({ args: ["--dir", directory, ...slowly], whileLoading: true });
      await refuses(server, /LOADING/);
      // ioredis asks a server whether it has loaded, and is offline until then, unless told not to.
      if (name === "ioredis") await throws(store, /Stream isn't writeable/);
      const asking = name === "ioredis" ? await hastyIoredis(server.port) : store;
      await throws(asking, /LOADING/);
      await load.answered("fail-closed", 50);
      return load.recovered();
    });
  });
});

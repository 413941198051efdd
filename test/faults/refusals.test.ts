/** A server that answers every call with an error, and is well again later, under load. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { RedisOptions } from "../../scripts/redis-server.mjs";
import { startVictim, type Victim } from "../support/servers.js";
import { driverNames, drivers } from "./support/drivers.js";
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

describe.each(driverNames)("through %s", (name) => {
  test("READONLY, from a master made a replica", async () => {
    const [server, other] = await Promise.all([start(), start()]);
    const store = await drivers[name].server(server.port);
    await throughFault(`READONLY, ${name}`, { store, freshStarts: 1 }, async (load) => {
      await server.command("REPLICAOF", "127.0.0.1", String(other.port));
      await refuses(server, /READONLY/);
      await load.answered("fail-closed", 50);
      await server.command("REPLICAOF", "NO", "ONE");
      return load.recovered();
    });
  });

  test("OOM, without eviction", async () => {
    const server = await start({ args: ["--maxmemory-policy", "noeviction"] });
    const store = await drivers[name].server(server.port);
    const costs = { store, nothingUnseen: true };
    await throughFault(`OOM, ${name}`, costs, async (load) => {
      await server.command("CONFIG", "SET", "maxmemory", "1");
      await refuses(server, /OOM/);
      await load.answered("fail-closed", 50);
      await server.command("CONFIG", "SET", "maxmemory", "0");
      return load.recovered();
    });
  });

  test("BUSY, by a script that never ends", async () => {
    const server = await start({ args: ["--lua-time-limit", "20"] });
    const store = await drivers[name].server(server.port);
    await throughFault(`BUSY, ${name}`, { store }, async (load) => {
      const runaway = server.command("EVAL", "while true do end", "0");
      const killed = runaway.catch(String);
      await refuses(server, /BUSY/);
      await load.answered("fail-closed", 50);
      await server.command("SCRIPT", "KILL");
      expect(await killed).toMatch(/killed by user/);
      return load.recovered();
    });
  });

  test("LOADING, after a kill, with data to load", async () => {
    const directory = mkdtempSync(join(tmpdir(), "sluice-loading-"));
    onTestFinished(() => {
      rmSync(directory, { recursive: true });
    });
    const server = await start({ args: ["--dir", directory] });
    const store = await drivers[name].server(server.port);
    await throughFault(`LOADING, ${name}`, { store, freshStarts: 1 }, async (load) => {
      const fill = "for i = 1, 5000 do redis.call('SET', 'filler:' .. i, i) end";
      await server.command("EVAL", fill, "0");
      await server.command("SAVE");
      await server.kill();
      // Some 100 µs a key, and looking up from it after every few keys, as with gigabytes.
      const slowly = ["--key-load-delay", "100", "--loading-process-events-interval-bytes", "1024"];
      await server.restart({ args: ["--dir", directory, ...slowly], whileLoading: true });
      await refuses(server, /LOADING/);
      await load.answered("fail-closed", 50);
      return load.recovered();
    });
  });
});

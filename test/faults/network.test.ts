/** A network that delays, cuts, swallows or throttles, under load, and a server that knows nothing of it. */
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { startVictim } from "../support/servers.js";
import { driverNames, drivers } from "./support/drivers.js";
import { type Direction, type Proxy, startProxy } from "./support/proxy.js";
import { throughFault } from "./support/through-fault.js";

describe.each(driverNames)("through %s", (name) => {
  let proxy: Proxy;
  beforeEach(async () => {
    const server = await startVictim();
    onTestFinished(() => server.stop());
    proxy = await startProxy(server.port);
    onTestFinished(() => proxy.stop());
  });
  const open = () => drivers[name].server(proxy.port);

  test.each<[Direction, number]>([
    ["requests", 100],
    ["replies", 10],
  ])("a connection cut in the middle of a batch's %s", async (direction, bytes) => {
    const title = `connection cut in ${direction}, ${name}`;
    await throughFault(title, { store: await open(), callers: 64 }, async (load) => {
      const cuts = 5;
      for (let i = 1; i <= cuts; i++) {
        proxy.cutAfter(direction, bytes);
        await expect.poll(() => proxy.cuts).toBe(i);
        if (i < cuts) await load.recovered();
      }
      return load.recovered();
    });
  });

  test("500 ms more latency, where calls have 50 ms", async () => {
    const title = `500 ms latency, 50 ms timeout, ${name}`;
    await throughFault(title, { store: await open(), timeoutMs: 50 }, async (load) => {
      proxy.delay(500);
      await load.answered("fail-closed", 200);
      proxy.heal();
      return load.recovered();
    });
  });

  test("connections that stay open and carry nothing", async () => {
    await throughFault(`half-open, ${name}`, { store: await open() }, async (load) => {
      proxy.halfOpen();
      await load.answered("fail-closed", 200);
      proxy.heal();
      return load.recovered();
    });
  });

  test("a line of 4,000 bytes a second", async () => {
    await throughFault(`throttled, ${name}`, { store: await open() }, async (load) => {
      proxy.throttle(4000);
      await load.answered("fail-closed", 100);
      proxy.heal();
      return load.recovered();
    });
  });
});

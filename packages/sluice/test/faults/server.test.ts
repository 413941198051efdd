/** A server that dies, hangs or forgets, under load. */
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { tokenBucket } from "../../src/index.js";
import { startVictim, type Victim } from "../support/servers.js";
import { driverNames, drivers } from "./support/drivers.js";
import { throughFault } from "./support/through-fault.js";

/** Where nothing is to fail, no stall of this machine is to be a failure. */
const HARDLY_EVER_MS = 30_000;

describe.each(driverNames)("through %s", (name) => {
  let server: Victim;
  beforeEach(async () => {
    server = await startVictim();
    onTestFinished(() => server.stop());
  });
  const open = () => drivers[name].server(server.port);

  test("SIGKILL, and a restart without data", async () => {
    const store = await open();
    await throughFault(`SIGKILL and restart, ${name}`, { store, freshStarts: 1 }, async (load) => {
      await server.kill();
      await load.answered("fail-closed", 100);
      await server.restart();
      return load.recovered();
    });
  });

  test("SIGSTOP, and SIGCONT", async () => {
    const store = await open();
    await throughFault(`SIGSTOP and SIGCONT, ${name}`, { store }, async (load) => {
      server.suspend();
      await load.answered("fail-closed", 100);
      server.resume();
      return load.recovered();
    });
  });

  test("SCRIPT FLUSH, again and again", async () => {
    const store = await open();
    const costs = { store, timeoutMs: HARDLY_EVER_MS, nothingUnseen: true, outages: {} };
    await throughFault(`SCRIPT FLUSH, ${name}`, costs, async (load) => {
      for (let i = 0; i < 20; i++) {
        await server.command("SCRIPT", "FLUSH");
        await load.answered("store", 20);
      }
      expect(load.answers.filter(({ decision }) => decision.source !== "store")).toEqual([]);
      return load.recovered();
    });
  });

  test("FLUSHALL", async () => {
    const store = await open();
    // Nothing comes back while the load runs, however slow the machine is: what is forgotten shows.
    const policies = [tokenBucket({ name: "brief", limit: 25, period: "365d" })];
    const costs = { store, policies, timeoutMs: HARDLY_EVER_MS, freshStarts: 12, outages: {} };
    const { over } = await throughFault(`FLUSHALL, ${name}`, costs, async (load) => {
      for (let i = 0; i < 12; i++) {
        await server.command("FLUSHALL");
        await load.answered("store", 50);
      }
      return load.recovered();
    });
    // The audit sees what was lost, so it would see what must not be.
    expect(over).toBeGreaterThan(0);
  });
});

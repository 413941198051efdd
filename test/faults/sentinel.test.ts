/** Failovers by Sentinel, under load. */
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { driverNames, drivers } from "./support/drivers.js";
import { startSentinels, type Watched } from "./support/sentinel.js";
import { throughFault } from "./support/through-fault.js";

describe.each(driverNames)("through %s", (name) => {
  let watched: Watched;
  beforeEach(async () => {
    watched = await startSentinels();
    onTestFinished(() => watched.stop());
  });

  test("a master killed", async () => {
    const store = await drivers[name].sentinel(watched);
    // node-redis sends again what was under way.
    const costs = { store, freshStarts: 1, resends: name === "node-redis" };
    await throughFault(`Sentinel failover, ${name}`, costs, async (load) => {
      await watched.master.kill();
      await load.answered("fail-closed", 50);
      const ms = await load.recovered();
      expect(await watched.masterPort()).toBe(watched.replica.port);
      return ms;
    });
  });
});

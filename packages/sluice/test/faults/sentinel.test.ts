/** Failovers by Sentinel, under load. */
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { type Driver, driverNames, drivers } from "./support/drivers.js";
import { PATIENT_MS } from "./support/load.js";
import { startSentinels, type Watched } from "./support/sentinel.js";
import { sideBySide } from "./support/side-by-side.js";
import { type Costs, throughFault } from "./support/through-fault.js";

let watched: Watched;
beforeEach(async () => {
  watched = await startSentinels();
  onTestFinished(() => watched.stop());
});

/** Only calls under way at the failover are sent again, and only by node-redis. */
const costsOf = (name: (typeof driverNames)[number]): Costs => ({
  freshStarts: 1,
  resends: name === "node-redis",
});

/** node-redis waits for the new master. To fail at all, its calls must not wait so long. */
const timeoutMsOf = (name: (typeof driverNames)[number]): number =>
  name === "node-redis" ? 1000 : PATIENT_MS;

test("a master killed: its replica takes over", async () => {
  await sideBySide(driverNames, async (name, meet) => {
    const driver: Driver = drivers[name];
    const store = await driver.sentinel(watched);
    const title = `Sentinel failover, ${name}`;
    await throughFault(
      title,
      { store, timeoutMs: timeoutMsOf(name), ...costsOf(name) },
      async (load) => {
        await meet(() => watched.master.kill());
        await load.answered("fail-closed", 50);
        return load.recovered();
      },
    );
  });
  expect(await watched.masterPort()).toBe(watched.replica.port);
});

test("a master suspended comes back as a replica", async () => {
  await sideBySide(driverNames, async (name, meet) => {
    const driver: Driver = drivers[name];
    const store = await driver.sentinel(watched);
    const costs = { ...costsOf(name), freshStarts: 2 };
    await throughFault(
      `Sentinel, master suspended, ${name}`,
      { store, timeoutMs: timeoutMsOf(name), ...costs },
      async (load) => {
        await meet(() => {
          watched.master.suspend();
        });
        await load.answered("fail-closed", 50);
        const ms = await load.recovered();
        await meet(() => {
          watched.master.resume();
        });
        await expect
          .poll(async () => String(await watched.master.command("INFO", "replication")))
          .toMatch(/role:slave/);
        await load.recovered();
        return ms;
      },
    );
  });
  expect(await watched.masterPort()).toBe(watched.replica.port);
});

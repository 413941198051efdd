/** Failovers by Sentinel, under load. */
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { type Driver, driverNames, drivers } from "./support/drivers.js";
import { PATIENT_MS } from "./support/load.js";
import { startSentinels, type Watched } from "./support/sentinel.js";
import { type Costs, throughFault } from "./support/through-fault.js";
import { together } from "./support/together.js";

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
  const kill = together(driverNames.length, () => watched.master.kill());
  await Promise.all(
    driverNames.map(async (name) => {
      const driver: Driver = drivers[name];
      const store = await driver.sentinel(watched);
      const title = `Sentinel failover, ${name}`;
      await throughFault(
        title,
        { store, timeoutMs: timeoutMsOf(name), ...costsOf(name) },
        async (load) => {
          await kill();
          await load.answered("fail-closed", 50);
          return load.recovered();
        },
      );
    }),
  );
  expect(await watched.masterPort()).toBe(watched.replica.port);
});

test("a master suspended comes back as a replica", async () => {
  const suspend = together(driverNames.length, () => {
    watched.master.suspend();
  });
  const resume = together(driverNames.length, () => {
    watched.master.resume();
  });
  await Promise.all(
    driverNames.map(async (name) => {
      const driver: Driver = drivers[name];
      const store = await driver.sentinel(watched);
      const costs = { ...costsOf(name), freshStarts: 2 };
      await throughFault(
        `Sentinel, master suspended, ${name}`,
        { store, timeoutMs: timeoutMsOf(name), ...costs },
        async (load) => {
          await suspend();
          await load.answered("fail-closed", 50);
          const ms = await load.recovered();
          await resume();
          await expect
            .poll(async () => String(await watched.master.command("INFO", "replication")))
            .toMatch(/role:slave/);
          await load.recovered();
          return ms;
        },
      );
    }),
  );
  expect(await watched.masterPort()).toBe(watched.replica.port);
});

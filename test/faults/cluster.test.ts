/** A Cluster of three masters and their replicas that loses a master under load. */
import { expect, onTestFinished, test } from "vitest";
import { slotOf } from "../../src/stores/redis/slot.js";
import { startCluster } from "../support/cluster.js";
import { driverNames, drivers } from "./support/drivers.js";
import { throughFault } from "./support/through-fault.js";
import { together } from "./support/together.js";

test("a master killed", async () => {
  const cluster = await startCluster({ replicas: true, nodeTimeoutMs: 1500 });
  onTestFinished(() => cluster.stop());
  const keys = Array.from({ length: 12 }, (_, i) => `key:${i}`);
  const [victim] = cluster.masters;
  const dying = new Set(keys.filter((key) => cluster.masterOf(slotOf(key)) === victim));
  expect(dying.size).toBeGreaterThan(0);
  const kill = together(driverNames.length, () => victim?.kill());

  await Promise.all(
    driverNames.map(async (name) => {
      const store = await drivers[name].cluster(cluster.ports);
      const title = `Cluster master killed, ${name}`;
      await throughFault(title, { store, keys, freshStarts: 1 }, async (load) => {
        await kill();
        const { length: before } = load.answers;
        await load.answered("fail-closed", 50);
        const ms = await load.recovered();
        const sources = (isDying: boolean) =>
          load.answers
            .slice(before)
            .filter(({ key }) => dying.has(key) === isDying)
            .map(({ decision }) => decision.source)
            .filter((source) => source === "store").length;
        console.log(name, sources(true), sources(false));
        return ms;
      });
    }),
  );
});

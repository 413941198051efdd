/** A Cluster of three masters and their replicas that loses a master under load. */
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { slotOf } from "../../src/stores/redis/slot.js";
import { type ClusterNode, startCluster, type TestCluster } from "../support/cluster.js";
import { driverNames, drivers } from "./support/drivers.js";
import { type Load, PATIENT_MS } from "./support/load.js";
import { sideBySide } from "./support/side-by-side.js";
import { throughFault } from "./support/through-fault.js";

let cluster: TestCluster;
let victim: ClusterNode;
beforeEach(async () => {
  cluster = await startCluster({ replicas: true, nodeTimeoutMs: 2500 });
  onTestFinished(() => cluster.stop());
  victim = cluster.masterOf(0);
});

const keys = Array.from({ length: 12 }, (_, i) => `key:${i}`);
const isOnVictim = (key: string): boolean => cluster.masterOf(slotOf(key)) === victim;

/** How many calls on the keys of the other masters the store answered from the `from`th answer on. */
function servedElsewhere({ answers }: Load, from: number): number {
  return answers
    .slice(from)
    .filter(({ key, decision }) => !isOnVictim(key) && decision.source === "store").length;
}

test("a master killed: its replica takes over, and the others serve all the time", async () => {
  expect(keys.some(isOnVictim)).toBe(true);
  await sideBySide(driverNames, async (name, meet) => {
    const store = await drivers[name].cluster(cluster.ports);
    const title = `Cluster master killed, ${name}`;
    const costs = { freshStarts: 1, outages: { [`127.0.0.1:${victim.port}`]: 1 } };
    const options = { store, keys, timeoutMs: PATIENT_MS, ...costs };
    await throughFault(title, options, async (load) => {
      await meet(() => victim.kill());
      const { length: before } = load.answers;
      await load.answered("fail-closed", 50);
      expect(servedElsewhere(load, before)).toBeGreaterThan(0);
      return load.recovered();
    });
  });
});

test("a master that hangs: the others serve all the time, and its connections do not hang for ever", async () => {
  expect(keys.some(isOnVictim)).toBe(true);
  await sideBySide(driverNames, async (name, meet) => {
    const store = await drivers[name].cluster(cluster.ports);
    const title = `Cluster master suspended, ${name}`;
    const costs = { freshStarts: 2, outages: { [`127.0.0.1:${victim.port}`]: 1 } };
    const options = { store, keys, timeoutMs: PATIENT_MS, ...costs };
    await throughFault(title, options, async (load) => {
      await meet(() => {
        victim.suspend();
      });
      const { length: before } = load.answers;
      await load.answered("fail-closed", 50);
      expect(servedElsewhere(load, before)).toBeGreaterThan(0);
      // node-redis does not give up a connection on which it is told to write: it waits for the old master.
      const ms = name === "ioredis" ? await load.recovered() : undefined;
      await meet(() => {
        victim.resume();
      });
      return ms ?? load.recovered();
    });
  });
});

/** A slot that moves from one master of a Cluster to another, key by key, under load. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RateLimiter, slidingLog, tokenBucket } from "../../src/index.js";
import { slotOf } from "../../src/stores/redis/slot.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { beginMove, identitiesIn } from "../support/slot-move.js";
import { driverNames, drivers } from "./support/drivers.js";
import { throughFault } from "./support/through-fault.js";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.stop());

describe.each(driverNames)("through %s", (name) => {
  test("calls on one key each are all served, wherever their keys are", async () => {
    const slot = slotOf(`load:${name}`);
    const keys = identitiesIn(slot, 10);
    const store = await drivers[name].cluster(cluster.ports);
    const title = `slot migration, ${name}`;
    const options = { store, keys, timeoutMs: 30_000, nothingUnseen: true, outages: {} };
    const { sources } = await throughFault(title, options, async (load) => {
      const move = await beginMove(cluster, slot);
      const before = await move.tryAgains();
      for (const key of await move.keys()) {
        await load.answered("store", 50);
        await move.carry(key);
      }
      expect(await move.tryAgains()).toBeGreaterThan(before);
      await load.answered("store", 50);
      await move.end();
      return load.recovered();
    });
    expect(Object.keys(sources)).toEqual(["store"]);
  });

  test("a call on several keys waits until they are in one place, within its deadline", async () => {
    const slot = slotOf(`several:${name}`);
    const [split = "", unseen = "", other = "", late = "", never = ""] = identitiesIn(slot, 5);
    const store = await drivers[name].cluster(cluster.ports);
    const limiterOf = (timeout: string): RateLimiter =>
      new RateLimiter({
        store,
        policy: [
          tokenBucket({ name: "a", limit: 10, period: "1h" }),
          slidingLog({ name: "b", limit: 10, window: "1h" }),
        ],
        namespace: `several.${name}`,
        identity: "plain",
        timeout,
        onStoreFailure: "closed",
      });
    await using patient = limiterOf("30s");
    await using hasty = limiterOf("50ms");
    for (const key of [split, other, other, late]) await patient.consume(key);

    const move = await beginMove(cluster, slot);
    for (const identity of [split, late]) {
      const first = (await move.keys()).find((key) => key.endsWith(`{${identity}}`));
      await move.carry(first ?? "");
    }
    const onSplit = patient.consume(split);
    const onUnseen = patient.consume(unseen);
    // Its keys are all in one place, and these clients send nothing twice, so there is no mark beside them.
    expect(await patient.refund(other, 1)).toMatchObject({ source: "store", remaining: 9 });
    expect((await patient.consume(other)).remaining).toBe(8);
    expect((await hasty.consume(late)).source).toBe("fail-closed");
    expect((await hasty.consume(never)).source).toBe("fail-closed");

    for (const key of await move.keys()) await move.carry(key);
    expect(await onSplit).toMatchObject({ source: "store", remaining: 8 });
    await move.end();
    expect(await onUnseen).toMatchObject({ source: "store", remaining: 9 });
  });
});

/** On a Cluster too, calls that nobody waits between have the answers of one after another. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RedisStore, type RedisStoreOptions } from "../../src/stores/redis/index.js";
import { slotOf } from "../../src/stores/redis/slot.js";
import { ManualClock } from "../../src/testing/index.js";
import { makeTrace } from "../../src/testing/trace.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import {
  type ClusterClient,
  clusterClientNames,
  clusterClients,
} from "../support/cluster-clients.js";
import type { Plan, Stage } from "../support/concurrent.js";
import { runs } from "../support/runs.js";
import { playInBursts } from "./bursts.js";
import { KEYS, linePlans, plans } from "./concurrent-plans.js";
import { explain } from "./explain.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const RUNS = runs(40);
const TRACES = runs(20);
const STEPS = 60;

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.stop());

/** Calls over two keys of one slot at most. */
const onOneSlot = (plan: Plan): Plan => ({
  ...plan,
  clients: plan.clients.map((calls) =>
    calls.map((call) => (call.verb === "consumeAtomic" ? { ...call, otherKey: call.key } : call)),
  ),
});

const batching = fc.record({
  maxBatch: fc.constantFrom(1, 3, 256),
  maxInFlight: fc.constantFrom(1, 2, 3),
});

let plays = 0;
const ownNamespace = (): string => `cluster.${process.pid}.${seed}.${++plays}`;

test("the keys of the plans are on more than one node", () => {
  const nodes = new Set([...KEYS].map((key) => cluster.masterOf(slotOf(key)).port));
  expect(nodes.size).toBeGreaterThan(1);
});

describe.each(clusterClientNames)(`through %s (SLUICE_SEED=${seed})`, (name) => {
  let connected: ClusterClient;
  beforeAll(async () => {
    connected = await clusterClients[name](cluster);
  });
  afterAll(() => connected.close());

  describe.each<[string, Partial<RedisStoreOptions>]>([
    ["each identity in a slot of its own", {}],
    ["identities in four partitions", { partitions: 4 }],
  ])("with %s", (_, placing) => {
    const expectOrders = (
      from: fc.Arbitrary<Plan>,
      stageOf: (options: RedisStoreOptions) => Pick<Stage, "store" | "clock">,
    ): Promise<void> => {
      const run = fc.asyncProperty(from, batching, async (plan, options) => {
        const stage = stageOf({ client: connected.client, ...placing, ...options });
        await explain(onOneSlot(plan), { ...stage, namespace: ownNamespace() });
      });
      return fc.assert(run, { seed, numRuns: RUNS });
    };
    const manually = (options: RedisStoreOptions): Pick<Stage, "store" | "clock"> => {
      const clock = new ManualClock();
      return { store: new RedisStore({ ...options, clock }), clock };
    };

    test("concurrent calls have an order that explains every decision", async () => {
      await expectOrders(plans(), manually);
      await expectOrders(linePlans(), manually);
    });

    test("and on the servers' own clocks", async () => {
      await expectOrders(plans(), (options) => ({ store: new RedisStore(options) }));
    });

    test("calls in bursts answer as one after another", async () => {
      for (let i = 0; i < TRACES; i++) {
        // Without blockFor: consumeAtomic blocks in a call of its own, somewhere behind its burst.
        const trace = { ...makeTrace(seed + i, STEPS), blockForMs: 0, atomicAcrossKeys: false };
        const clock = new ManualClock(trace.startMs);
        const store = new RedisStore({ client: connected.client, clock, ...placing });
        await playInBursts(store, clock, ownNamespace(), trace);
      }
    });
  });
});

/** A Cluster that serves nobody while one of its masters is dead: `cluster-require-full-coverage yes`. */
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { type ErrorEvent, RateLimiter, type RecoveryEvent, tokenBucket } from "../../src/index.js";
import { slotOf } from "../../src/stores/redis/slot.js";
import { type ClusterNode, startCluster, type TestCluster } from "../support/cluster.js";
import { eventually } from "../support/eventually.js";
import { driverNames, drivers } from "./support/drivers.js";

/** A key of the first master. */
const VICTIMS = "key:0";

let cluster: TestCluster;
let victim: ClusterNode;
let living: readonly ClusterNode[];
beforeEach(async () => {
  cluster = await startCluster({ partial: false, nodeTimeoutMs: 2500 });
  onTestFinished(() => cluster.stop());
  victim = cluster.masterOf(0);
  living = cluster.masters.filter((master) => master !== victim);
});

test.each(driverNames)(
  "through %s, callers are told CLUSTERDOWN, and what was refused is not sent again",
  async (name) => {
    const onError = vi.fn<(event: ErrorEvent) => void>();
    const onRecovery = vi.fn<(event: RecoveryEvent) => void>();
    const limiter = new RateLimiter({
      store: await drivers[name].cluster(cluster.ports),
      policy: tokenBucket({ limit: 10, period: "365d" }),
      identity: "plain",
      timeout: "10s",
      onStoreFailure: "closed",
      breaker: { probeEvery: "50ms" },
      hooks: { onError, onRecovery },
    });
    onTestFinished(() => limiter.close());
    const parts = living.map(({ port }) => `127.0.0.1:${port}`);
    const wasNotified = (calls: readonly (readonly [ErrorEvent | RecoveryEvent])[]): boolean =>
      parts.every((part) => calls.some(([event]) => event.part === part));
    const refused: string[] = [];
    let asked = 0;
    /** Asks the living for keys that nobody asked for before, until `isEnough`. */
    const ask = async (isEnough: () => boolean): Promise<void> => {
      while (!isEnough()) {
        const key = `key:${asked++}`;
        if (cluster.masterOf(slotOf(key)) === victim) continue;
        if ((await limiter.consume(key)).source === "fail-closed") refused.push(key);
        await sleep(5);
      }
    };

    await ask(() => asked > 100);
    expect(refused).toEqual([]);
    await victim.kill();
    await ask(() => wasNotified(onError.mock.calls));
    await victim.restart();
    await ask(() => wasNotified(onRecovery.mock.calls));
    // So that no client is still waiting to connect to it when it is closed.
    await expect.poll(async () => (await limiter.peek(VICTIMS)).source).toBe("store");

    for (const [{ error, part = "" }] of onError.mock.calls) {
      if (parts.includes(part)) expect(String(error)).toMatch(/CLUSTERDOWN/);
    }
    expect(refused.length).toBeGreaterThan(0);
    // By the store: on a busy machine a node may be late for the others, and the Cluster be down again.
    const left = await Promise.all(
      refused.map((key) =>
        eventually(async () => {
          const { source, remaining } = await limiter.peek(key);
          expect(source).toBe("store");
          return remaining;
        }),
      ),
    );
    expect(new Set(left)).toEqual(new Set([10]));
  },
);

/** Semaphores whose slot moves from one master of a Cluster to another, key by key, while they are in use. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Permit, Semaphore } from "../../src/index.js";
import type { RedisStore } from "../../src/stores/redis/index.js";
import { slotOf } from "../../src/stores/redis/slot.js";
import { startCluster, type TestCluster } from "../support/cluster.js";
import { eventually } from "../support/eventually.js";
import { beginMove, identitiesIn } from "../support/slot-move.js";
import { driverNames, drivers } from "./support/drivers.js";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.stop());

const LIMIT = 2;

describe.each(driverNames)("through %s", (name) => {
  /** As another process would have it. */
  async function open(leaseDuration: string, timeout = "30s"): Promise<Semaphore<RedisStore>> {
    const store = await drivers[name].cluster(cluster.ports);
    const options = { limit: LIMIT, identity: "plain", timeout, leaseDuration } as const;
    const semaphore = new Semaphore({ ...options, name: `moving.${name}`, store });
    onTestFinished(async () => {
      await semaphore.close();
      await store.close();
    });
    return semaphore;
  }

  /** Until `permit` was renewed by a command that was sent from now on. */
  async function renewed(permit: Permit): Promise<void> {
    for (let i = 0; i < 2; i++) {
      const { expiresAtUs } = permit;
      await eventually(() => expect(permit.expiresAtUs).toBeGreaterThan(expiresAtUs));
    }
    expect(permit.lost.aborted).toBe(false);
  }

  test("holders keep their permits and waiters get theirs, wherever the key is", async () => {
    const slot = slotOf(`holders:${name}`);
    const [key = "", unseen = ""] = identitiesIn(slot, 2);
    const [one, other] = [await open("6s"), await open("6s")];
    const waiting = (count: number): Promise<void> =>
      eventually(async () => expect((await one.inspect(key)).waiting).toBe(count));
    const kept = await one.acquire(key);
    let held = await other.acquire(key);
    /** Somebody gets in line, and is handed the permit that another gives up. */
    const handOver = async (): Promise<void> => {
      const next = one.acquire(key);
      await waiting(1);
      await held.release();
      held = await next;
      expect(await other.inspect(key)).toEqual({ limit: LIMIT, held: 2, waiting: 0 });
    };
    await handOver();

    const move = await beginMove(cluster, slot);
    await handOver();
    await renewed(kept);
    // One that nobody has used yet is begun at the new master, at once.
    await (await other.acquire(unseen)).release();
    const queued = other.acquire(key);
    await waiting(1);
    const [moving = ""] = await move.keys();
    await move.carry(moving);
    expect(await move.keys()).toEqual([]);
    await renewed(kept);
    await held.release();
    held = await queued;
    await handOver();

    const across = other.acquire(key);
    await waiting(1);
    await move.end();
    await held.release();
    held = await across;
    await handOver();
    await renewed(kept);
    await kept.release();
    await held.release();
    expect(await one.inspect(key)).toEqual({ limit: LIMIT, held: 0, waiting: 0 });
    expect(await move.tryAgains()).toBe(0);
  });

  test("a command that is sent to and fro is done as soon as that ends, or fails at its deadline", async () => {
    const slot = slotOf(`halfway:${name}`);
    const [patiently = "", hastily = ""] = identitiesIn(slot, 2);
    const [semaphore, hasty] = [await open("30s"), await open("1h", "300ms")];
    // The new master does not know yet that the slot is to be its own.
    const move = await beginMove(cluster, slot, { halfway: true });
    const acquired = semaphore.acquire(patiently);
    const gaveUp = hasty.acquire(hastily, { maxWait: 0 });
    await expect(gaveUp).rejects.toThrow(/did not answer|not sent|redirections/);
    await move.announce();
    await (await acquired).release();
    // Its command may still be executed: then the permit is given back at the late answer, long before its lease ends.
    const free = { limit: LIMIT, held: 0, waiting: 0 };
    await eventually(async () => expect(await semaphore.inspect(hastily)).toEqual(free));
    for (const key of await move.keys()) await move.carry(key);
    await move.end();
  });

  test("under load nobody gets a permit too many, and no permit is lost", async () => {
    const slot = slotOf(`load:semaphore:${name}`);
    const keys = identitiesIn(slot, 5);
    const semaphores = [await open("30s"), await open("30s")];
    const holding = new Map(keys.map((key) => [key, 0]));
    const failures: string[] = [];
    let served = 0;
    const over = new AbortController();
    const work = async (semaphore: Semaphore, key: string): Promise<void> => {
      while (!over.signal.aborted) {
        const permit = await semaphore.acquire(key);
        const count = (holding.get(key) ?? 0) + 1;
        holding.set(key, count);
        if (count > LIMIT) failures.push(`${count} hold ${key}`);
        await new Promise(setImmediate);
        if (permit.lost.aborted) failures.push(String(permit.lost.reason));
        holding.set(key, (holding.get(key) ?? 0) - 1);
        await permit.release();
        served += 1;
      }
    };
    const workers = keys.flatMap((key) =>
      [0, 1, 0, 1].map((i) =>
        work(semaphores[i] as Semaphore, key).catch((error: unknown) =>
          failures.push(String(error)),
        ),
      ),
    );
    const more = async (): Promise<void> => {
      const target = served + 20;
      await eventually(() => expect(served).toBeGreaterThan(target));
    };
    await more();
    const move = await beginMove(cluster, slot);
    await more();
    for (const key of await move.keys()) {
      await move.carry(key);
      await more();
    }
    await move.end();
    await more();
    over.abort();
    await Promise.all(workers);
    expect(failures).toEqual([]);
    for (const key of keys) {
      expect(await semaphores[0]?.inspect(key)).toEqual({ limit: LIMIT, held: 0, waiting: 0 });
    }
  });
});

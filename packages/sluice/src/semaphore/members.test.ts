/** Who holds, who waits, and the end of all permits, on memory: any store answers as the pure kernel does. */
import { describe, expect, onTestFinished, test } from "vitest";
import { LeaseLostError, MemoryStore, type Permit, Semaphore } from "../index.js";
import { ManualClock } from "../testing/index.js";

interface Bench {
  readonly clock: ManualClock;
  readonly semaphore: Semaphore<MemoryStore>;
}

function bench(limit: number): Bench {
  const clock = new ManualClock();
  const semaphore = new Semaphore({ limit, store: new MemoryStore({ clock }) });
  onTestFinished(() => semaphore.close());
  return { clock, semaphore };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a list", () => {
  test("names holders by their tokens, the oldest first, and who waits, with weights and times", async () => {
    const { clock, semaphore } = bench(3);
    const startUs = clock.nowUs();
    const first = await semaphore.acquire("k");
    clock.advance(1000);
    const second = await semaphore.acquire("k", { weight: 2 });
    clock.advance(1000);
    const third = semaphore.acquire("k", { weight: 3 });
    await settled();
    expect(await semaphore.list("k")).toEqual({
      limit: 3,
      held: 3,
      waiting: 1,
      holders: [
        { fencingToken: first.fencingToken, weight: 1, sinceUs: startUs, untilUs: startUs + 30e6 },
        {
          fencingToken: second.fencingToken,
          weight: 2,
          sinceUs: startUs + 1e6,
          untilUs: startUs + 31e6,
        },
      ],
      waiters: [{ weight: 3, sinceUs: startUs + 2e6 }],
    });
    await Promise.all([first.release(), second.release()]);
    const { holders, waiters } = await semaphore.list("k");
    expect([holders.map(({ fencingToken }) => fencingToken), waiters]).toEqual([
      [(await third).fencingToken],
      [],
    ]);
  });

  test("of a key that nobody uses is empty, and leaves nothing behind", async () => {
    const { semaphore } = bench(2);
    const none = { limit: 2, held: 0, waiting: 0, holders: [], waiters: [] };
    expect(await semaphore.list("k")).toEqual(none);
    expect(await semaphore.reset("k")).toBe(0);
    expect(semaphore.store.semaphores.size).toBe(0);
  });

  test("has the first 100 of many", async () => {
    const { semaphore } = bench(150);
    const permits = await Promise.all(Array.from({ length: 150 }, () => semaphore.acquire("k")));
    const { held, holders } = await semaphore.list("k");
    const tokens = permits.map(({ fencingToken }) => fencingToken);
    expect([held, holders.map(({ fencingToken }) => fencingToken)]).toEqual([
      150,
      tokens.slice(0, 100),
    ]);
  });
});

describe("a reset", () => {
  test("ends all permits of one key in one slot, and says how many", async () => {
    const { semaphore } = bench(250);
    const others = [await semaphore.acquire("l"), await semaphore.acquire("k", { slot: "s" })];
    await Promise.all(Array.from({ length: 250 }, () => semaphore.acquire("k")));
    expect(await semaphore.reset("k")).toBe(250);
    expect((await semaphore.inspect("k")).held).toBe(0);
    expect((await semaphore.inspect("l")).held).toBe(1);
    expect(await semaphore.reset("k", { slot: "s" })).toBe(1);
    expect(others[0]?.lost.aborted).toBe(false);
  });

  test("gives the permits to who waits, and ends none of those", async () => {
    const { semaphore } = bench(1);
    const first = await semaphore.acquire("k");
    const next = semaphore.acquire("k");
    await settled();
    expect(await semaphore.reset("k")).toBe(1);
    const { fencingToken } = await next;
    expect(fencingToken).toBeGreaterThan(first.fencingToken);
    const { held, holders } = await semaphore.list("k");
    expect([held, holders.map((each) => each.fencingToken)]).toEqual([1, [fencingToken]]);
  });

  test("is known to a holder at its next renewal, and a release of it frees nobody else's permit", async () => {
    const { clock, semaphore } = bench(1);
    const first = await semaphore.acquire("k");
    await semaphore.reset("k");
    const next = await semaphore.acquire("k");
    expect(first.lost.aborted).toBe(false);
    for (let i = 0; i < 12; i++) {
      clock.advance(1000);
      await settled();
    }
    expect(first.lost.reason).toBeInstanceOf(LeaseLostError);
    await first.release();
    expect((await semaphore.list("k")).holders).toMatchObject([
      { fencingToken: next.fencingToken },
    ]);
  });

  test("leaves the limit that setLimit stored", async () => {
    const { semaphore } = bench(5);
    await semaphore.setLimit("k", 2);
    await semaphore.acquire("k");
    await semaphore.reset("k");
    expect(await semaphore.inspect("k")).toEqual({ limit: 2, held: 0, waiting: 0 });
  });

  test("beside acquires, renewals and releases never lets more hold than the limit", async () => {
    const { clock, semaphore } = bench(3);
    const permits: Permit[] = [];
    let given = 0;
    for (let round = 0; round < 300; round++) {
      const asked = Array.from({ length: round % 5 }, (_, i) =>
        semaphore.tryAcquire("k", { weight: 1 + ((round + i) % 3) }),
      );
      const [, ...found] = await Promise.all([
        round % 7 === 0 ? semaphore.reset("k") : undefined,
        ...asked,
      ]);
      given += found.filter((permit) => permit !== undefined).length;
      permits.push(...found.filter((permit) => permit !== undefined));
      const { held, holders } = await semaphore.list("k");
      expect(held).toBeLessThanOrEqual(3);
      expect(holders.reduce((sum, { weight }) => sum + weight, 0)).toBe(held);
      if (round % 3 === 0) await permits.shift()?.release();
      clock.advance(500);
      await settled();
    }
    expect(given).toBeGreaterThan(50);
  });
});

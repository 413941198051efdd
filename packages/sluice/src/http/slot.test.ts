/** A charge's slot goes to every call that the charge makes. */
import { expect, test } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  CrossSlotError,
  MemoryStore,
  RateLimiter,
  Semaphore,
  type Store,
  type StoreCall,
  tokenBucket,
} from "../index.js";
import type { Done } from "../stores/store.js";
import { ManualClock } from "../testing/index.js";
import { type Charges, createGate } from "./index.js";

const call = { method: "GET", address: "192.0.2.7", header: () => undefined };
const done = { status: 200, aborted: false };
const slot = "org:7";

/** Refuses calls over several slots, as a Cluster does. */
class ClusterLike extends OutsideStore {
  /** How many it refused so. */
  crossed = 0;

  override submit(asked: StoreCall, told: Done): void {
    const tags = new Set(asked.debits.map(({ id }) => /^[{](.*)[}]/.exec(id)?.[1] ?? id));
    if (tags.size > 1) {
      this.crossed += 1;
      told(new CrossSlotError());
    } else super.submit(asked, told);
  }
}

function limiterOn(store: Store, name: string): RateLimiter {
  return new RateLimiter({ store, policy: tokenBucket({ name, limit: 10, period: "1h" }) });
}

const left = async (limiter: RateLimiter, key: string, within?: string): Promise<number> =>
  (await limiter.peek(key, { cost: 0, slot: within })).remaining;

async function passes(charges: Charges): Promise<boolean> {
  const pass = await createGate<object>({ charge: () => charges }).enter({}, call);
  await pass.settle?.(done);
  return pass.denial === undefined;
}

test.each([
  ["in memory", () => new MemoryStore({ clock: new ManualClock() })],
  ["outside", () => new ClusterLike()],
] as const)("%s a rate is taken, settled and given back in it", async (_, storeOf) => {
  const limiter = limiterOn(storeOf(), "a");
  const none = new RateLimiter({ policy: tokenBucket({ name: "none", limit: 0, period: "1h" }) });
  expect(await passes({ limiter, key: "k", cost: 4, slot, settle: () => 1 })).toBe(true);
  expect(await left(limiter, "k", slot)).toBe(9);
  // What another store refuses is undone.
  expect(
    await passes([
      { limiter, key: "k", cost: 4, slot },
      { limiter: none, key: "k" },
    ]),
  ).toBe(false);
  expect([await left(limiter, "k", slot), await left(limiter, "k")]).toEqual([9, 10]);
  expect(await passes({ limiter, key: "k", slot, maxWait: "1s" })).toBe(true);
  expect([await left(limiter, "k", slot), await left(limiter, "k")]).toEqual([8, 10]);
});

test("a set in one slot is one call, whatever other sets of the store were asked apart", async () => {
  const store = new ClusterLike();
  const [one, two] = [limiterOn(store, "one"), limiterOn(store, "two")];
  expect(
    await passes([
      { limiter: one, key: "a" },
      { limiter: two, key: "b" },
    ]),
  ).toBe(true);
  const asked = store.calls.length;
  expect(
    await passes([
      { limiter: one, key: "a", slot },
      { limiter: two, key: slot },
    ]),
  ).toBe(true);
  expect(store.calls.length).toBe(asked + 1);
});

test("a set in several slots is asked apart, from the second time at once, and given back where one refuses", async () => {
  const store = new ClusterLike();
  const [one, two] = [limiterOn(store, "one"), limiterOn(store, "two")];
  const both = (cost: number): Charges => [
    { limiter: one, key: "a" },
    { limiter: two, key: "b", cost },
  ];
  expect(await passes(both(1))).toBe(true);
  expect(store.calls.length).toBe(2);
  expect(await passes(both(1))).toBe(true);
  expect(store.calls.length).toBe(4);
  expect(store.crossed).toBe(1);
  expect(await passes(both(11))).toBe(false);
  expect([await left(one, "a"), await left(two, "b")]).toEqual([8, 8]);
});

test("a permit is taken in it", async () => {
  const limiter = new Semaphore({ limit: 1 });
  const permit = await limiter.acquire("k", { slot });
  expect(await passes({ limiter, key: "k" })).toBe(true);
  expect(await passes({ limiter, key: "k", slot })).toBe(false);
  expect(await passes({ limiter, key: "k", slot, maxWait: 1 })).toBe(false);
  await permit.release();
  expect(await passes({ limiter, key: "k", slot, maxWait: 1 })).toBe(true);
  await limiter.close();
});

test("any text will do, and what is no text is no caller's", async () => {
  const store = new OutsideStore();
  const limiter = new RateLimiter({
    store,
    identity: "plain",
    policy: tokenBucket({ limit: 10, period: "1h" }),
  });
  for (const text of ["", "{", "\ud800", "x".repeat(5000)]) {
    expect(await passes({ limiter, key: "k", slot: text })).toBe(true);
  }
  expect(new Set(store.calls.map(({ debits }) => debits[0]?.id)).size).toBe(4);
  for (const wrong of [7, {}, null, ["a"]]) {
    expect(await passes({ limiter, key: "k", slot: wrong as unknown as string })).toBe(false);
  }
  expect(store.calls.length).toBe(4);
});

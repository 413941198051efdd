/** A key that is given a slot is another key than without, for every verb, in every store and every shortcut. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import { runs } from "../../test/support/runs.js";
import { VERBS } from "../algorithms/decide.js";
import { identifyBy } from "../core/identity.js";
import { keyInSlot, keyWithoutSlot } from "../core/key.js";
import {
  ClosedError,
  consumeAtomic,
  InvalidOptionError,
  MaxWaitExceededError,
  MemoryStore,
  RateLimiter,
  type RateLimiterOptions,
  Semaphore,
  tokenBucket,
} from "../index.js";
import { ManualClock, PureStore } from "../testing/index.js";

const policy = tokenBucket({ limit: 10, period: "1h" });
const slot = "org:7";

const stores = [
  ["memory", () => new MemoryStore({ clock: new ManualClock() })],
  ["the pure kernels", () => new PureStore(new ManualClock())],
  ["a store outside", () => new OutsideStore()],
  [
    "the memory of an outage",
    () => {
      const store = new OutsideStore();
      store.behaviour = "fails";
      return store;
    },
  ],
] as const;

describe.each(stores)("in %s", (name, storeOf) => {
  const make = (options: Partial<RateLimiterOptions> = {}): RateLimiter =>
    new RateLimiter({ policy, store: storeOf(), ...options });
  const left = async (limiter: RateLimiter, key: string, within?: string): Promise<number> =>
    (await limiter.peek(key, { cost: 0, slot: within })).remaining;

  test("each slot of a key has a state of its own, and so has the key without", async () => {
    const limiter = make();
    await limiter.consume("k", { cost: 1 });
    await limiter.consume("k", { cost: 2, slot });
    await limiter.consume("k", { cost: 3, slot: "org:8" });
    await limiter.consume(slot, { cost: 4 });
    // Neither the texts swapped, nor put together, are the same.
    await limiter.consume(slot, { cost: 5, slot: "k" });
    await limiter.consume(`${slot}k`, { cost: 6 });
    await limiter.consume("7k", { cost: 7, slot: "org:" });
    expect([
      await left(limiter, "k"),
      await left(limiter, "k", slot),
      await left(limiter, "k", "org:8"),
      await left(limiter, slot),
      await left(limiter, slot, "k"),
      await left(limiter, `${slot}k`),
      await left(limiter, "7k", "org:"),
    ]).toEqual([9, 8, 7, 6, 5, 4, 3]);
  });

  test("every verb goes by it", async () => {
    const limiter = make();
    const decision = await limiter.consume("k", { cost: 5, slot });
    expect((await limiter.consumeUpTo("k", { cost: 2, slot })).granted).toBe(2);
    expect((await limiter.refund("k", 1, { slot })).remaining).toBe(4);
    expect((await limiter.penalize("k", 1, { slot })).remaining).toBe(3);
    const settled = { reserved: 5, actual: 1, of: decision, slot };
    expect((await limiter.settle("k", settled)).remaining).toBe(7);
    expect((await limiter.settle("k", { reserved: 1, actual: 1, slot })).remaining).toBe(7);
    expect((await limiter.consumeMany([{ key: "k", cost: 2, slot }]))[0]?.remaining).toBe(5);
    await consumeAtomic([{ limiter, key: "k", slot }]);
    await consumeAtomic([{ limiter, key: "k", slot }], { atomic: false });
    expect(await left(limiter, "k", slot)).toBe(3);
    const reservation = await limiter.reserve("k", { slot });
    expect(await left(limiter, "k", slot)).toBe(2);
    if (reservation.allowed) await reservation.cancel();
    await limiter.wrap(() => {}, { key: "k", slot })();
    await limiter.wrap((given: string) => given, { key: "k", slot: (given) => given })(slot);
    expect(await left(limiter, "k", slot)).toBeLessThan(2);
    expect(await left(limiter, "k")).toBe(10);
  });

  test("a denied atomic set gives back in the slot that it took from", async () => {
    const limiter = make();
    const requests = [
      { limiter, key: "k", cost: 6, slot },
      { limiter, key: "l", cost: 11, slot },
    ];
    for (const atomic of [true, false]) {
      expect((await consumeAtomic(requests, { atomic })).allowed).toBe(false);
      expect([await left(limiter, "k", slot), await left(limiter, "k")]).toEqual([10, 10]);
    }
  });

  if (name === "the memory of an outage") return;

  test("blocks, their ends and resets go by it", async () => {
    const limiter = make();
    await limiter.consume("k", { slot });
    await limiter.block("k", "1h", { slot });
    expect((await limiter.peek("k", { slot })).reason).toBe("blocked");
    expect((await limiter.peek("k")).reason).toBe("ok");
    await limiter.unblock("k");
    await limiter.reset("k");
    expect((await limiter.peek("k", { slot })).reason).toBe("blocked");
    await limiter.unblock("k", { slot });
    expect(await left(limiter, "k", slot)).toBe(9);
    await limiter.reset("k", { slot });
    expect(await left(limiter, "k", slot)).toBe(10);
  });

  test("blockFor blocks in the slot of the denial alone, by every verb that denies", async () => {
    const limiter = make({ blockFor: "1h" });
    await limiter.consume("k", { cost: 10, slot });
    await consumeAtomic([{ limiter, key: "k", slot }]);
    await limiter.settle("l", { reserved: 0, actual: 10, slot });
    for (const key of ["k", "l"]) {
      expect((await limiter.peek(key, { slot })).reason).toBe("blocked");
      expect((await limiter.peek(key)).reason).toBe("ok");
    }
  });
});

test("consumeSync goes by it, with and without a policy of its own", () => {
  const limiter = new RateLimiter({ policy });
  expect(limiter.consumeSync("k", { slot, cost: 3 }).remaining).toBe(7);
  expect(limiter.consumeSync("k", { slot, cost: 3, policy }).remaining).toBe(4);
  expect(limiter.consumeSync("k").remaining).toBe(9);
});

describe("what a limiter answers by itself", () => {
  test("repeats a denial in its slot alone, and forgets it by the verbs of that slot", async () => {
    const store = new OutsideStore();
    const limiter = new RateLimiter({ policy, store });
    await limiter.consume("k", { cost: 10, slot });
    await limiter.consume("k", { slot });
    expect((await limiter.consume("k", { slot })).source).toBe("deny-cache");
    for (const options of [undefined, { slot: "org:8" }]) {
      expect((await limiter.consume("k", options)).source).toBe("store");
    }
    const inSet = await consumeAtomic([
      { limiter, key: "k" },
      { limiter, key: "k", slot },
    ]);
    expect(inSet.decisions.map(({ source }) => source)).toEqual(["deny-cache", "deny-cache"]);
    await limiter.refund("k", 1);
    await limiter.reset("k");
    expect((await limiter.consume("k", { slot })).source).toBe("deny-cache");
    await limiter.reset("k", { slot });
    expect(await limiter.consume("k", { slot })).toMatchObject({ allowed: true, source: "store" });
  });

  test("holds a denial through an outage in its slot alone", async () => {
    const store = new OutsideStore();
    const limiter = new RateLimiter({ policy, store, breaker: false });
    await limiter.consume("k", { cost: 10, slot });
    await limiter.consume("k", { slot });
    store.behaviour = "fails";
    expect((await limiter.peek("k", { slot })).allowed).toBe(false);
    expect((await limiter.peek("k")).allowed).toBe(true);
  });

  test.each([
    [
      "refund",
      (limiter: RateLimiter, within?: string) => limiter.refund("k", 10, { slot: within }),
    ],
    ["reset", (limiter: RateLimiter, within?: string) => limiter.reset("k", { slot: within })],
  ] as const)("forgets it also for an outage after a %s in the slot", async (_, giveBack) => {
    for (const within of [slot, undefined]) {
      const store = new OutsideStore();
      const limiter = new RateLimiter({ policy, store, breaker: false });
      await limiter.consume("k", { cost: 10, slot });
      await limiter.consume("k", { slot });
      await giveBack(limiter, within);
      store.behaviour = "fails";
      expect((await limiter.peek("k", { slot })).allowed).toBe(within === slot);
    }
  });

  test("forgets it also for an outage after a start in the slot was cancelled", async () => {
    const store = new OutsideStore();
    const limiter = new RateLimiter({ policy, store, breaker: false });
    await limiter.consume("k", { cost: 9, slot });
    const start = await limiter.reserve("k", { cost: 10, slot });
    await limiter.consume("k", { slot });
    expect(start.allowed && (await start.cancel())).toBe(true);
    store.behaviour = "fails";
    expect((await limiter.peek("k", { slot })).allowed).toBe(true);
  });

  test("is asked for each of many in its slot", async () => {
    const store = new OutsideStore();
    const limiter = new RateLimiter({ policy, store });
    await limiter.consume("k", { cost: 10, slot });
    await limiter.consume("k", { slot });
    const many = await limiter.consumeMany([{ key: "k", slot }, { key: "k" }]);
    expect(many.map(({ source }) => source)).toEqual(["deny-cache", "store"]);
  });

  test("spends what was taken ahead in its slot alone, and gives it back there", async () => {
    const store = new OutsideStore();
    const limiter = new RateLimiter({ policy, store, prefetch: { size: 4, ttl: "1m" } });
    const seen: object[] = [];
    limiter.events.on("prefetch", ({ change, key, units }) => seen.push({ change, key, units }));
    await limiter.consume("k", { slot });
    expect((await limiter.consume("k", { slot })).source).toBe("prefetch");
    expect(store.calls.length).toBe(1);
    await limiter.consume("k");
    expect(store.calls.length).toBe(2);
    await limiter.close();
    expect(seen).toEqual([
      { change: "taken", key: "k", units: 4 },
      { change: "taken", key: "k", units: 4 },
      { change: "returned", key: "k", units: 2 },
      { change: "returned", key: "k", units: 3 },
    ]);
    const fresh = new RateLimiter({ policy, store });
    expect((await fresh.peek("k", { slot, cost: 0 })).remaining).toBe(8);
    expect((await fresh.peek("k", { cost: 0 })).remaining).toBe(9);
  });
});

test("who waits in an outage asks about the key in its slot whether the store is back", async () => {
  const store = new OutsideStore();
  const limiter = new RateLimiter({ policy, store, breaker: false });
  store.behaviour = "fails";
  await limiter.consume("k", { cost: 10, slot });
  const waiting = limiter.acquire("k", { cost: 10, slot });
  const id = store.calls[0]?.debits[0]?.id;
  store.calls.length = 0;
  await expect.poll(() => store.calls.some(({ verb }) => verb === VERBS.peek)).toBe(true);
  for (const { debits } of store.calls) expect(debits[0]?.id).toBe(id);
  await limiter.close();
  await expect(waiting).rejects.toThrow(ClosedError);
});

test("a fallback is asked in the slot, at once too", async () => {
  const down = new OutsideStore();
  down.behaviour = "fails";
  const inMemory = new RateLimiter({ policy });
  const limiter = new RateLimiter({ policy, store: down, onStoreFailure: { fallback: inMemory } });
  await limiter.consume("k", { slot, cost: 4 });
  const full = new MemoryStore({ maxKeys: 1 });
  const first = new RateLimiter({ policy, store: full, onStoreFailure: { fallback: inMemory } });
  await first.block("other", "1h");
  expect(first.consumeSync("k", { slot, cost: 2 })).toMatchObject({
    source: "fallback",
    remaining: 4,
  });
  expect((await inMemory.peek("k", { cost: 0 })).remaining).toBe(10);
});

test("hooks and events are told the slot, where there is one", async () => {
  const limiter = new RateLimiter({
    policy,
    hooks: { onAllowed: (event) => seen.push(event), onDenied: (event) => seen.push(event) },
  });
  const seen: object[] = [];
  const decided: (string | undefined)[] = [];
  limiter.events.on("decision", (event) => decided.push(event.slot));
  await limiter.consume("k", { slot });
  await limiter.consume("k", { slot, cost: 11 });
  limiter.consumeSync("k", { slot });
  await limiter.consume("k");
  expect(decided).toEqual([slot, slot, slot, undefined]);
  expect(seen.slice(0, 3)).toMatchObject([{ slot }, { slot }, { slot }]);
  expect(seen[3]).not.toHaveProperty("slot");
});

test("a semaphore's verbs all go by it", async () => {
  for (const store of [new MemoryStore(), new MemoryStore({ clock: new ManualClock() })]) {
    const semaphore = new Semaphore({ limit: 1, store });
    const permit = await semaphore.acquire("k", { slot });
    expect(await semaphore.tryAcquire("k", { slot })).toBeUndefined();
    expect(semaphore.tryAcquireSync("k", { slot })).toBeUndefined();
    const other = semaphore.tryAcquireSync("k");
    expect(other).toBeDefined();
    await other?.release();
    expect(await semaphore.withPermit("k", () => "held")).toBe("held");
    await expect(semaphore.withPermit("k", () => 1, { slot, maxWait: 0 })).rejects.toThrow(
      MaxWaitExceededError,
    );
    await expect(semaphore.wrap(() => 1, { key: "k", slot, maxWait: 0 })()).rejects.toThrow(
      MaxWaitExceededError,
    );
    await semaphore.setLimit("k", 5, { slot });
    expect(await semaphore.inspect("k", { slot })).toEqual({ limit: 5, held: 1, waiting: 0 });
    expect(await semaphore.inspect("k")).toEqual({ limit: 1, held: 0, waiting: 0 });
    await permit.release();
    await semaphore.close();
  }
});

describe("a text of key and slot", () => {
  const texts = fc.string({ unit: "binary", minLength: 1 }).filter((text) => text.isWellFormed());

  test("gives the key back, and is no other key's", () => {
    fc.assert(
      fc.property(texts, texts, texts, texts, (key, one, another, two) => {
        expect(keyWithoutSlot(keyInSlot({ key, slot: one }))).toBe(key);
        expect(keyWithoutSlot(keyInSlot({ key }))).toBe(key);
        const isSame = key === another && one === two;
        expect(keyInSlot({ key, slot: one }) === keyInSlot({ key: another, slot: two })).toBe(
          isSame,
        );
        expect(keyInSlot({ key, slot: one }).isWellFormed()).toBe(false);
      }),
      { numRuns: runs(1000) },
    );
  });

  // Small alphabets, so that texts put together meet.
  const few = fc.string({
    unit: fc.constantFrom("a", "{", "}", ":", "\0", "\ufffd"),
    minLength: 1,
    maxLength: 4,
  });

  test.each([
    ["in memory", undefined, false],
    ["by sha256", "sha256", true],
    ["by a secret", { hmacSecret: "a secret of some length" }, true],
  ] as const)("makes ids that no other makes: %s", (_, identity, external) => {
    const identify = identifyBy(identity, external);
    const known = new Map<string, string>();
    fc.assert(
      fc.property(few, fc.option(few, { nil: undefined }), (key, within) => {
        const text = JSON.stringify([key, within]);
        const id = identify(key, within);
        expect(known.get(id) ?? text).toBe(text);
        known.set(id, text);
      }),
      { numRuns: runs(5000) },
    );
  });

  test("in memory are nothing that a key can be", () => {
    const identify = identifyBy(undefined, false);
    expect(identify("alice", "org:7").isWellFormed()).toBe(false);
  });

  test("outside the process holds no plain text, and begins with the id of the slot's", () => {
    for (const identity of ["sha256", { hmacSecret: "a secret of some length" }] as const) {
      const identify = identifyBy(identity, true);
      expect(identify("alice", "org:7")).toBe(`{${identify("org:7")}}${identify("alice")}`);
      expect(identify("alice", "org:7")).toMatch(/^[{][\w-]{22}[}][\w-]{22}$/);
    }
    const plain = identifyBy("plain", true);
    expect(plain("alice", "org:7")).toBe("{org:7}alice");
    for (const [key, within, option] of [
      ["a", "{", "slot"],
      ["a", "}", "slot"],
      ["a", "\0", "slot"],
      ["{", "a", "key"],
    ] as const) {
      expect(() => plain(key, within)).toThrow(InvalidOptionError);
      expect(() => plain(key, within)).toThrow(option);
    }
  });
});

test("a slot text is never part of a message", async () => {
  const limiter = new RateLimiter({ policy, store: new OutsideStore(), identity: "plain" });
  for (const bad of [`hunter2${"x".repeat(4096)}`, "hunter2\ud800", "hunter2{"]) {
    const error = await limiter.consume("k", { slot: bad }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "INVALID_OPTION", option: "slot" });
    expect(String(error)).not.toContain("hunter2");
  }
});

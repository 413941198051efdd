/** Policies on trial and overrides on a real Redis: one round trip, and what other processes know of. */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from "vitest";
import { fixedWindow, RateLimiter, type RateLimiterOptions } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { eventually } from "../support/eventually.js";

const five = fixedWindow({ name: "five", limit: 5, window: "1h", align: "first" });
const nine = fixedWindow({ name: "five", limit: 9, window: "1h", align: "first" });
const trial = fixedWindow({ name: "two", limit: 2, window: "1h", align: "first", enforce: false });

let admin: Redis;
beforeAll(() => {
  admin = new Redis(inject("redisUrl"));
});
afterAll(() => {
  admin.disconnect();
});

/** A limiter on a store of its own, as in another process. */
async function limiterOf(
  namespace: string,
  options: Partial<RateLimiterOptions> = {},
): Promise<RateLimiter<RedisStore>> {
  const store = await RedisStore.connect(inject("redisUrl"));
  const limiter = new RateLimiter({
    policy: five,
    timeout: "30s",
    onStoreFailure: "throw",
    overrides: true,
    ...options,
    store,
    namespace,
  });
  onTestFinished(async () => {
    await limiter.close();
    await store.close();
  });
  return limiter;
}

test("a policy on trial travels with those that decide, in one batch", async () => {
  const namespace = randomUUID();
  const limiter = await limiterOf(namespace, { policy: [five, trial], overrides: false });
  const batches: number[] = [];
  limiter.store.events.on("batch", ({ size }) => batches.push(size));
  const decisions = [];
  for (let i = 0; i < 3; i++) decisions.push(await limiter.consume("k", { cost: 2 }));
  expect(decisions.map(({ allowed }) => allowed)).toEqual([true, true, false]);
  expect(decisions.map(({ shadow }) => shadow?.[0]?.reason)).toEqual(["ok", "quota", "quota"]);
  expect(batches).toEqual([2, 2, 2]);
  await limiter.refund("k", 2, { of: decisions[0] });
  expect((await limiter.peek("k")).shadow?.[0]?.remaining).toBe(2);
});

test("an override is known to other processes after a poll, and to new ones at once", async () => {
  const namespace = randomUUID();
  const [one, other] = [await limiterOf(namespace), await limiterOf(namespace)];
  expect((await other.consume("k")).limit).toBe(5);
  await one.override("k", nine, { comment: "ticket 7" });
  await one.override("bad", "deny");
  await eventually(async () => expect((await other.consume("k")).limit).toBe(9));
  expect(await other.consume("bad")).toMatchObject({ reason: "blocked", source: "override" });
  expect(await (await limiterOf(namespace)).consume("bad")).toMatchObject({ reason: "blocked" });
  await one.override("bad", undefined);
  await eventually(async () => expect((await other.consume("bad")).allowed).toBe(true));
  const [listed] = await other.overrides();
  expect(listed).toMatchObject({ override: nine, comment: "ticket 7" });
});

test("overrides are one hash, of ids and never keys, without what is over", async () => {
  const namespace = randomUUID();
  const limiter = await limiterOf(namespace);
  const [seconds, micros] = await admin.time();
  const nowMs = Number(seconds) * 1e3 + Number(micros) / 1e3;
  await limiter.override("over@example.org", "deny", { until: nowMs - 1 });
  await limiter.override("secret@example.org", "deny", { until: nowMs + 3_600_000 });
  expect((await limiter.consume("over@example.org")).allowed).toBe(true);
  await limiter.override("other@example.org", "exempt");
  const key = `${namespace}:~overrides:{${namespace}}`;
  const fields = await admin.hkeys(key);
  expect(fields.filter((field) => field !== "")).toHaveLength(2);
  expect(JSON.stringify(await admin.hgetall(key))).not.toContain("example.org");
  expect(await admin.keys(`${namespace}*overrides*`)).toEqual([key]);
});

test("a hint tells other processes of an override at once, and they know who removed it", async () => {
  const namespace = randomUUID();
  const [one, other] = [await limiterOf(namespace), await limiterOf(namespace)];
  await other.consume("k");
  const heard: unknown[] = [];
  other.events.on("override", ({ change, by, comment, before, after }) =>
    heard.push([change, by, comment, before?.override, after?.override]),
  );
  let hints = 0;
  const watch = other.store.overrides.watch(namespace, () => {
    hints += 1;
  });
  await eventually(async () => expect(hints).toBe(1));
  await one.override("k", "deny", { by: "ana", comment: "abuse" });
  await eventually(async () => expect(hints).toBe(2));
  await eventually(async () => expect((await other.consume("k")).allowed).toBe(false));
  await one.override("k", undefined, { by: "ben", comment: "paid" });
  await eventually(async () => expect((await other.consume("k")).allowed).toBe(true));
  watch.end();
  expect(heard).toEqual([
    ["set", "ana", "abuse", undefined, "deny"],
    ["removed", "ben", "paid", "deny", undefined],
  ]);
  expect(await other.overrides()).toEqual([]);
});

test("an override that is over leaves the hash, whether or not anybody asks for it", async () => {
  const namespace = randomUUID();
  const limiter = await limiterOf(namespace);
  const key = `${namespace}:~overrides:{${namespace}}`;
  const [seconds, micros] = await admin.time();
  const nowMs = Number(seconds) * 1e3 + Number(micros) / 1e3;
  for (let i = 0; i < 5; i++) await limiter.override(`k${i}`, "deny", { until: nowMs + 1500 });
  await limiter.override("stays", "deny");
  expect(await admin.hlen(key)).toBeGreaterThan(1);
  await eventually(async () => expect(await admin.hlen(key)).toBe(2));
  expect(await limiter.consume("stays")).toMatchObject({ reason: "blocked" });
});

test("overrides that Redis has lost still hold, until there are others", async () => {
  const namespace = randomUUID();
  const [one, other] = [await limiterOf(namespace), await limiterOf(namespace)];
  await one.override("bad", "deny");
  await eventually(async () => expect((await other.consume("bad")).allowed).toBe(false));
  await admin.del(`${namespace}:~overrides:{${namespace}}`);
  expect(await other.overrides()).toHaveLength(1);
  await one.override("worse", "deny");
  await eventually(async () => expect((await other.consume("bad")).allowed).toBe(true));
  expect((await other.consume("worse")).allowed).toBe(false);
});

test("there are 10,000 at most, also in Redis", async () => {
  const namespace = randomUUID();
  const limiter = await limiterOf(namespace);
  const key = `${namespace}:~overrides:{${namespace}}`;
  const texts = Array.from({ length: 10_000 }, (_, i) => [`id${i}`, '- {"override":"deny"}']);
  await admin.hset(key, ...texts.flat());
  await expect(limiter.override("more", "deny")).rejects.toThrow("at most 10000 overrides");
  await admin.hdel(key, "id0");
  await limiter.override("more", "deny");
  expect(await limiter.overrides()).toHaveLength(10_000);
  // One that is known is no more, and the note of a removal takes nobody's place.
  await limiter.override("more", "exempt");
  await limiter.override("more", undefined, { by: "ana" });
  await limiter.override("another", "deny");
  await expect(limiter.override("more", "deny")).rejects.toThrow("at most 10000 overrides");
});

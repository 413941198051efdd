/** What has a nonce comes back from Redis once, in one batch and from two processes' stores; so does a ticket. */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { expect, inject, onTestFinished, test } from "vitest";
import { PolicySet } from "../../src/policies/policy-set.js";
import { cancelReserved, reserveRules } from "../../src/policies/rules-verbs.js";
import { RedisStore } from "../../src/stores/redis/index.js";

const policy = { algorithm: "token-bucket", limit: 10, period: "1h" } as const;
const source = { rules: [{ name: "user", key: ["user"], policy }] };
const entries = { user: "ann" };

/** Sets of two processes. */
async function made(
  openStore = (): Promise<RedisStore> => RedisStore.connect(inject("redisUrl")),
): Promise<readonly [PolicySet, PolicySet]> {
  const namespace = `once-${randomUUID()}`;
  const open = async (): Promise<PolicySet> => {
    const store = await openStore();
    const rules = new PolicySet({ source, store, namespace, timeout: "30s" });
    onTestFinished(async () => {
      await rules.close();
      await store.close();
    });
    return rules;
  };
  return [await open(), await open()];
}

/** Through a client that may send a call again, so that each refund gets a mark of its own. */
async function overResendingClient(): Promise<RedisStore> {
  const client = new Redis(inject("redisUrl"));
  onTestFinished(() => client.disconnect());
  return new RedisStore({ client });
}

test("a nonce is good for once, whoever asks", async () => {
  const [one, two] = await made();
  await one.consume({ entries, cost: 8 });
  const back = { entries, cost: 2, nonce: "n-1" };
  const refunds = await Promise.all([one, one, two].map((rules) => rules.giveBack(back)));
  const refunded = refunds.map(([refund]) => refund?.refunded ?? 0);
  expect(refunded.filter((units) => units > 1.9)).toHaveLength(1);
  expect((await two.giveBack(back))[0]?.refunded).toBe(0);
  expect((await two.giveBack({ ...back, nonce: "n-2" }))[0]?.refunded).toBeGreaterThan(1.9);
  expect((await two.peek({ entries, cost: 0 })).remaining).toBe(6);
});

test("a ticket is good in another process", async () => {
  const [one, two] = await made();
  await one.consume({ entries, cost: 10 });
  const start = await reserveRules(one, { entries, cost: 5 });
  expect(start).toMatchObject({ allowed: true });
  if (!start.allowed) throw new Error("it was promised");
  expect(start.delayMs).toBeGreaterThan(1700e3);
  expect(await cancelReserved(two, start.ticket)).toBe(true);
  const again = await reserveRules(two, { entries, cost: 5 });
  expect(again.allowed && again.delayMs).toBeLessThanOrEqual(start.delayMs);
});

test("what has none counts each time, in one batch, in later ones, and from another process", async () => {
  const [one, two] = await made(overResendingClient);
  await one.consume({ entries, cost: 10 });
  const back = { entries, cost: 1 };
  await Promise.all([one, one, two, two].map((rules) => rules.giveBack(back)));
  await Promise.all([one, two].map((rules) => rules.giveBack(back)));
  expect((await one.peek({ entries, cost: 0 })).remaining).toBe(6);
});

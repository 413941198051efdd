/** No callback of one call runs in another's context, or reaches its outcome. */
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, test } from "vitest";
import { HeldStore } from "../../test/support/held-store.js";
import { OutsideStore } from "../../test/support/outside-store.js";
import { consumeAtomic, type Outcome, RateLimiter, type StoreCall, tokenBucket } from "../index.js";
import { RedisStore } from "../stores/redis/index.js";

const policy = tokenBucket({ limit: 10, period: "1h" });
const lost = new Error("connection lost");

const verbs: Record<string, (limiter: RateLimiter, key: string) => Promise<unknown>> = {
  consume: (limiter, key) => limiter.consume(key),
  consumeMany: (limiter, key) => limiter.consumeMany([{ key }, { key }]),
  consumeUpTo: (limiter, key) => limiter.consumeUpTo(key, { cost: 2 }),
  reserve: (limiter, key) => limiter.reserve(key),
  acquire: (limiter, key) => limiter.acquire(key),
  consumeAtomic: (limiter, key) => consumeAtomic([{ limiter, key }]),
};

describe.each(Object.entries(verbs))("hooks of %s", (_, ask) => {
  test.each([undefined, lost])("run in their own caller's context: %o", async (outcome) => {
    const context = new AsyncLocalStorage<string>();
    const seen: [string, string | undefined][] = [];
    const hook = ({ key }: { key: string }): unknown => seen.push([key, context.getStore()]);
    const store = new HeldStore();
    const hooks = { onAllowed: hook, onDenied: hook, onError: hook };
    const limiter = new RateLimiter({
      policy,
      store,
      identity: "plain",
      timeout: "30s",
      onStoreFailure: "open",
      hooks,
    });
    const calls = ["alice", "bob", "carol"].map((name) =>
      context.run(name, () => ask(limiter, name)),
    );
    context.run("whoever answers", () => {
      store.settleAll(outcome);
    });
    await Promise.all(calls);
    expect(new Set(seen.map(([key]) => key))).toEqual(new Set(["alice", "bob", "carol"]));
    for (const [key, where] of seen) expect(where).toBe(key);
  });
});

/** Looks like a signal, and refuses to be left. */
function hostileSignal(): AbortSignal {
  const { signal } = new AbortController();
  signal.removeEventListener = () => {
    throw new TypeError("not now");
  };
  return signal;
}

test("what is thrown while one call is answered is its own rejection, and nobody else's", async () => {
  const store = new HeldStore();
  const limiter = new RateLimiter({ policy, store, identity: "plain", timeout: "30s" });
  const calls = [
    limiter.consume("alice"),
    limiter.consume("mallory", { signal: hostileSignal() }),
    limiter.consume("bob"),
  ];
  store.settleAll();
  const [alice, mallory, bob] = await Promise.allSettled(calls);
  expect([alice, bob]).toMatchObject([
    { status: "fulfilled", value: { allowed: true, source: "store" } },
    { status: "fulfilled", value: { allowed: true, source: "store" } },
  ]);
  expect(mallory).toMatchObject({ status: "rejected", reason: { message: "not now" } });
});

test.each([
  ["fails", () => Promise.reject(lost)],
  ["answers nonsense", () => Promise.resolve([1, 2, 3])],
])("what one done of a RedisStore throws reaches no other: the client %s", async (_, client) => {
  const outside = new OutsideStore();
  const limiter = new RateLimiter({ policy, store: outside });
  await Promise.all(["a", "b", "c"].map((key) => limiter.consume(key)));
  const errors: unknown[] = [];
  const hooks = { onError: ({ error }: { error: unknown }) => errors.push(error) };
  const store = new RedisStore({ client, hooks });
  const boom = new Error("boom");
  const [first, second, third] = outside.calls as [StoreCall, StoreCall, StoreCall];
  const outcomes = [first, second, third].map(
    (call) =>
      new Promise<Outcome>((settle) => {
        store.submit(call, (outcome) => {
          settle(outcome);
          if (call !== third) throw boom;
        });
      }),
  );
  for (const outcome of await Promise.all(outcomes)) expect(outcome).not.toBe(boom);
  expect(errors).toEqual([boom, boom]);
});

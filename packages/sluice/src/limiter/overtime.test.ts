/** What becomes of calls that settle what was taken, if they wait in this process for longer than their deadline. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HeldStore } from "../../test/support/held-store.js";
import { RateLimiter, type StoreCall, tokenBucket } from "../index.js";
import { RedisStore } from "../stores/redis/index.js";
import { handOverNow } from "../stores/redis/batcher.js";
import type { Done } from "../stores/store.js";

const TIMEOUT_MS = 250;
const policy = tokenBucket({ limit: 10, period: "1h" });

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
}

/** A store that sends only the calls that it is asked to hurry. */
class QueueingStore extends HeldStore {
  readonly marksHandOver = true;
  readonly hurried: StoreCall[] = [];
  holds = false;

  override submit(call: StoreCall, done: Done): void {
    super.submit(call, done);
    if (!this.holds) this.settleAll();
  }

  hurry(call: StoreCall): boolean {
    call.handOver = handOverNow();
    this.hurried.push(call);
    return true;
  }
}

type Limiter = RateLimiter<QueueingStore>;
const settling: readonly [string, (limiter: Limiter) => Promise<() => Promise<unknown>>][] = [
  ["refund", async (limiter) => () => limiter.refund("k", 2)],
  ["settle for less", async (limiter) => () => limiter.settle("k", { reserved: 2, actual: 1 })],
  ["settle for more", async (limiter) => () => limiter.settle("k", { reserved: 1, actual: 2 })],
  ["penalize", async (limiter) => () => limiter.penalize("k", 1)],
  [
    "cancel",
    async (limiter) => {
      const reservation = await limiter.reserve("k", { cost: 2 });
      if (!reservation.allowed) throw new Error("no room");
      return () => reservation.cancel();
    },
  ],
];

test.each(settling)("%s is sent when its time is over, and ends by its reply", async (_, begin) => {
  const store = new QueueingStore();
  const limiter = new RateLimiter({ policy, store, timeout: TIMEOUT_MS, onStoreFailure: "throw" });
  await limiter.consume("k", { cost: 4 });
  const act = await begin(limiter);
  store.holds = true;
  let ended = false;
  const ends = act().then(() => {
    ended = true;
  });
  await pass(TIMEOUT_MS - 1);
  expect(store.hurried).toEqual([]);
  await pass(2);
  expect(store.hurried).toHaveLength(1);
  await pass(TIMEOUT_MS - 10);
  expect(ended).toBe(false);
  store.settleAll();
  await ends;
  store.holds = false;
  await limiter.close();
});

test.each<[string, (limiter: Limiter) => Promise<unknown>]>([
  ["consume", (limiter) => limiter.consume("k")],
  ["peek", (limiter) => limiter.peek("k")],
  ["block", (limiter) => limiter.block("k", "1m")],
])("%s is not", async (_, act) => {
  const store = new QueueingStore();
  const limiter = new RateLimiter({ policy, store, timeout: TIMEOUT_MS, onStoreFailure: "throw" });
  store.holds = true;
  const failed = act(limiter).catch((error: unknown) => error);
  await pass(TIMEOUT_MS + 1);
  expect(await failed).toMatchObject({ code: "STORE_TIMEOUT", sent: false });
  expect(store.hurried).toEqual([]);
  await limiter.close();
});

test("a refund that waits behind a batch under way reaches Redis all the same", async () => {
  const answers: ((error: Error) => void)[] = [];
  const client = () => new Promise((_resolve, reject) => void answers.push(reject));
  const store = new RedisStore({ client, maxInFlight: 1 });
  const limiter = new RateLimiter({ policy, store, timeout: TIMEOUT_MS, onStoreFailure: "throw" });
  const under = limiter.consume("a").catch((error: unknown) => error);
  await pass(0);
  const refund = limiter.refund("b", 1).catch((error: unknown) => error);
  await pass(TIMEOUT_MS - 10);
  expect(answers).toHaveLength(1);
  await pass(11);
  expect(answers).toHaveLength(2);
  answers[1]?.(new Error("the reply"));
  expect(await refund).toMatchObject({ code: "STORE_UNAVAILABLE", message: /the reply/ });
  expect(await under).toMatchObject({ code: "STORE_TIMEOUT", sent: true });
  answers[0]?.(new Error("late"));
  await limiter.close();
  await store.close();
});

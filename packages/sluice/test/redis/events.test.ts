/** What a RedisStore lets its own listeners hear: batches, and outages whoever met them. */
import { Redis } from "ioredis";
import { expect, inject, onTestFinished, test, vi } from "vitest";
import {
  type BatchSent,
  type ErrorEvent,
  RateLimiter,
  Semaphore,
  tokenBucket,
} from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";

const policy = tokenBucket({ limit: 1000, period: "1h" });

test("a batch is one event, with its size and how long it took", async () => {
  const client = new Redis(inject("redisUrl"));
  onTestFinished(() => client.disconnect());
  const store = new RedisStore({ client });
  const limiter = new RateLimiter({ policy, store, namespace: "events", timeout: "30s" });
  const batches: BatchSent[] = [];
  store.events.on("batch", (batch) => batches.push(batch));
  await Promise.all(Array.from({ length: 10 }, (_, i) => limiter.consume(`k${i}`)));
  await limiter.consume("k");
  expect(batches.map(({ size, part, error }) => [size, part, error])).toEqual([
    [10, "", undefined],
    [1, "", undefined],
  ]);
  expect(batches.every(({ durationMs }) => durationMs > 0)).toBe(true);
});

test("a script call begins with what is in it, and ends under the same number", async () => {
  const client = new Redis(inject("redisUrl"));
  onTestFinished(() => client.disconnect());
  const store = new RedisStore({ client });
  const limiter = new RateLimiter({ policy, store, namespace: "begun", timeout: "30s" });
  const heard: [string, number, object][] = [];
  store.events.on("batchBegun", ({ batch, ...rest }) => heard.push(["begun", batch, rest]));
  store.events.on("batch", ({ batch, size }) => heard.push(["ended", batch, { size }]));
  await Promise.all([limiter.consume("a"), limiter.consume("b")]);
  await Promise.all([limiter.peek("a"), limiter.penalize("b", 1)]);
  await Promise.all([limiter.peek("a"), limiter.consume("b")]);
  const [first, second, third, fourth] = [0, 2, 4, 5].map((at) => heard[at]?.[1]);
  expect(new Set([first, second, third, fourth]).size).toBe(4);
  expect(heard).toEqual([
    ["begun", first, { size: 2, keys: 2, verb: "consume", part: "" }],
    ["ended", first, { size: 2 }],
    ["begun", second, { size: 2, keys: 2, verb: "mixed", part: "" }],
    ["ended", second, { size: 2 }],
    // Plain consumes have a script of their own.
    ["begun", third, { size: 1, keys: 1, verb: "consume", part: "" }],
    ["begun", fourth, { size: 1, keys: 1, verb: "peek", part: "" }],
    ["ended", third, { size: 1 }],
    ["ended", fourth, { size: 1 }],
  ]);
});

test("an outage is one onError of the store, whichever of its limiters and semaphores meets it", async () => {
  const onError = vi.fn<(event: ErrorEvent) => void>();
  const lost = new Error("connection lost");
  const store = new RedisStore({ client: () => Promise.reject(lost), hooks: { onError } });
  const own = vi.fn<(event: ErrorEvent) => void>();
  const options = { store, timeout: "30s", hooks: { onError: own } } as const;
  const first = new RateLimiter({ ...options, policy, namespace: "first" });
  const second = new RateLimiter({ ...options, policy, namespace: "second" });
  const semaphore = new Semaphore({ ...options, limit: 1 });
  await first.consume("a");
  await second.consume("b");
  await expect(semaphore.inspect("c")).rejects.toThrow("connection lost");
  expect(onError).toHaveBeenCalledExactlyOnceWith({
    error: expect.objectContaining({ cause: lost }) as unknown,
    key: "",
    cost: 0,
  });
  expect(own.mock.calls.map(([{ key }]) => key)).toEqual(["a", "b", "c"]);
  const batches: BatchSent[] = [];
  store.events.on("batch", (batch) => batches.push(batch));
  await first.consume("a");
  expect(batches).toMatchObject([{ size: 1, error: lost }]);
});

test.each([
  ["hooks.onDenied", { onDenied: () => {} }],
  ["hooks.onError", { onError: "x" }],
])("a store refuses %s", (option, hooks) => {
  expect(() => new RedisStore({ client: async () => [], hooks: hooks as never })).toThrow(option);
});

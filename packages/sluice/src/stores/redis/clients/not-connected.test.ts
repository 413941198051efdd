/** A client of redis that was never connected: the error says what is missing. */
import { createClient, createClientPool, createCluster, createSentinel } from "redis";
import { expect, test, vi } from "vitest";
import { RateLimiter, Semaphore, tokenBucket } from "../../../index.js";
import { RedisStore } from "../redis-store.js";

const nodes = [{ host: "127.0.0.1", port: 1 }];

test.each([
  ["a client", createClient()],
  ["a Cluster", createCluster({ rootNodes: [{ url: "redis://127.0.0.1:1" }] })],
  ["a Sentinel", createSentinel({ name: "main", sentinelRootNodes: nodes })],
  ["a pool", createClientPool()],
])("%s without connect() fails with a hint", async (_, client) => {
  const onError = vi.fn();
  const store = new RedisStore({ client, subscriber: false });
  const policy = tokenBucket({ limit: 1, period: "1s" });
  const limiter = new RateLimiter({ policy, store, onStoreFailure: "throw", hooks: { onError } });
  await expect(limiter.consume("k")).rejects.toMatchObject({
    code: "STORE_UNAVAILABLE",
    message: expect.stringContaining("call `await client.connect()`") as unknown,
  });
  expect(onError).toHaveBeenCalledTimes(1);
  const semaphore = new Semaphore({ limit: 1, store });
  // Without an end it would wait until the client is connected.
  const acquired = semaphore.acquire("k", { maxWait: "100ms" });
  await expect(acquired).rejects.toThrow("await client.connect()");
  await store.close();
});
